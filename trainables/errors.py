"""Exceptions with a meaning beyond their text: bad input, a place that fails, a training that ran away."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


_KINDS = {  # beginning of pydantic's name of a problem → what the value should be
    "int_": "a whole number",
    "float_": "a number",
    "finite_number": "a finite number",
    "bool_": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_LIMITS = {"too_short": ("at least", "min_length"), "too_long": ("at most", "max_length")}


class InputError(ValueError):
    """Input that breaks a rule.

    The text states the rule, the value found and what to do, and names the file or key. The command
    line prints it without a traceback and exits with 2.
    """


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean `seeds`?``, or the list of what is known when nothing is near."""
    names = sorted(known)
    # All settings of a search begin with `config.`, which makes none like another.
    compared = {name.removeprefix("config."): name for name in names}
    close = get_close_matches(word.removeprefix("config."), compared, n=1)
    if close:
        return f"did you mean `{compared[close[0]]}`?"
    return f"known here: {', '.join(names)}" if names else "nothing is known here"


class TransientError(RuntimeError):
    """A training that may succeed when it is tried again: its program was killed, or asks for it."""


class StorageError(OSError):
    """A folder or an object store that cannot be used now: full, read-only, away, or refusing credentials.

    No trial is at fault, and the next one would fare no better: a study ends with it. The text states the
    place, the cause and what to do.
    """


class StorageFull(StorageError):  # noqa: N818 (named for what happened)
    """A storage on which no room is left, for anybody or for this user."""


class StorageAway(StorageError):  # noqa: N818
    """A storage that does not answer now, and may later."""


class Diverged(ArithmeticError):  # noqa: N818 (a finding about settings, not a fault)
    """A training whose loss or weights are no longer finite: a result of its settings, not a fault."""

    def __init__(self, epoch: int, found: str) -> None:
        """Note the epoch (from 0) after which something was found, and what, in words."""
        super().__init__(epoch, found)
        self.epoch = epoch
        self.found = found

    def __str__(self) -> str:
        return f"training diverged in epoch {self.epoch}: {self.found}"


def text_of(error: BaseException) -> str:
    """The text of an error, whatever a method's own errors do when they are asked for it."""
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001 - told in its place
        return f"its text cannot be read ({type(fault).__name__} in its `__str__`)"


def validation_message(detail: ErrorDetails) -> str:
    """``should be a whole number``, ``should be a list of at least 1 value``; of a validator its own text."""
    kind, limits = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return "is missing"
    # Pydantic speaks of Python's types, "List should have at least 1 item": a study's file has lists and
    # texts.
    if kind.removeprefix("string_") in _LIMITS:
        words, limit = _LIMITS[kind.removeprefix("string_")]
        whole, part = ("text", "character") if kind.startswith("string_") else ("a list", "value")
        if limits.get("field_type") == "Dictionary":
            whole, part = "a mapping", "key"
        return f"should be {whole} of {words} {limits[limit]:,} {part}{'s' * (limits[limit] != 1)}"
    if kind == "string_pattern_mismatch":
        return f"should match the regular expression `{limits['pattern']}`"
    for beginning, wanted in _KINDS.items():
        if kind.startswith(beginning):
            return f"should be {wanted}"
    return detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
