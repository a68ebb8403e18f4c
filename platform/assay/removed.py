"""Keys of the study file and options of commands that were removed, and what to write now.

The one place that remembers them: readers of studies and the command line ask it before they call a key or an
option unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["what_to_type_instead", "what_to_write_instead"]

_AT_RANDOM = "masks are drawn at random. Write the number alone, as in `supervision: {mixed: 10}`"
_NO_LIST = "no rule picked better images than chance. Draw masks of any defective training images without one"

_KEYS: Mapping[str, str] = {
    "supervision.by": _AT_RANDOM,
    "supervision.first": _AT_RANDOM,
}
_OPTIONS: Mapping[str, str] = {
    "labels --next": _NO_LIST,
    "labels --by": _NO_LIST,
    "labels --output": f"it named the list of images, and {_NO_LIST}",
}


def what_to_write_instead(path: Iterable[str | int]) -> str | None:
    """The sentence about a removed key of the study file; None for a key that never was one.

    Args:
        path: Of the key, from the top of the file. List positions do not count, and a block is recognised
            wherever it stands: ``factors.labels.few.supervision.by`` is ``supervision.by``.
    """
    keys = [key for key in path if isinstance(key, str)]
    return next(
        (_KEYS[name] for start in range(len(keys)) if (name := ".".join(keys[start:])) in _KEYS), None
    )


def what_to_type_instead(command: str, option: str) -> str | None:
    """The sentence about a removed option of a command (``labels``, ``--next``); None for any other."""
    return _OPTIONS.get(f"{command} {option}")
