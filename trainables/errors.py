"""Exceptions with a meaning beyond their text: bad input, a place that fails, a training that ran away."""

from collections.abc import Iterable
from difflib import get_close_matches


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


class StorageError(OSError):
    """A folder or an object store that cannot be used now: full, read-only, away, or refusing credentials.

    No trial is at fault, and the next one would fare no better: a study ends with it. The text states the
    place, the cause and what to do.
    """


class StorageFull(StorageError):  # noqa: N818 (named for what happened)
    """No room is left there, for anybody or for this user."""


class StorageAway(StorageError):  # noqa: N818
    """It does not answer now, and may later."""


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
