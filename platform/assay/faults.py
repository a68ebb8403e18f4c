"""Ends of a command that are no success: each is a type with its exit code and what the code means.

Whoever cannot go on raises one; the command line ends with its ``exit_code``, whichever it is. A new code is
a class here, and a row of the table in docs/commands.md, which a test compares. Bad input and what the system
refuses (``InputError``, ``StorageError`` and every other ``OSError``) are raised below the platform, too:
:func:`exit_code_of` counts them as :class:`Refused`.
"""

from __future__ import annotations

from typing import ClassVar

from trainables.errors import InputError

__all__ = ["Fault", "Interrupted", "RayLost", "Refused", "TrialsFailed", "exit_code_of"]


class Fault(Exception):  # noqa: N818 - its kinds are named for what happened
    """An end with an exit code of its own."""

    exit_code: ClassVar[int]
    meaning: ClassVar[str]  # in docs/commands.md
    leaves_at_once: ClassVar[bool] = False  # without waiting for threads, which may wait for what is gone

    @property
    def line(self) -> str:
        """The last line that a user reads; empty: all is said already."""
        return f"error: {self}" if str(self) else ""


class TrialsFailed(Fault):
    """A study ended without a result for each of its trials."""

    exit_code = 1
    meaning = (
        "some trials failed or are missing. `assay check`: something is damaged. `assay doctor`: something "
        "will not work. `assay predict`: a photo could not be read, or was passed over. `assay mlflow "
        "--sync`: a record could not be replayed"
    )


class Refused(Fault):
    """Input that breaks a rule, or a file, storage or cluster that cannot be reached."""

    exit_code = 2
    meaning = (
        "bad input, a data set with faults, a storage or cache that is full or away, or a Ray that does not "
        "start. One plain message. What is finished is kept"
    )


class RayLost(Fault, RuntimeError):  # noqa: N818
    """A part of Ray died under a study."""

    exit_code = 3
    meaning = (
        "a part of Ray died under a study (a process of a Ray on this machine, a cluster's head, the raylet "
        "of this node). The message names it. What is finished is kept, and the same command goes on"
    )
    leaves_at_once = True

    def __init__(self, part: str) -> None:
        """``part``: what ended, and how."""
        super().__init__(
            f"{part}, and with it the run. What is finished is kept: run the same command again, it trains "
            "what is missing."
        )


class Interrupted(Fault):
    """The user, or a signal, ended the command."""

    exit_code = 130
    meaning = (
        "interrupted: Ctrl-C, SIGTERM, SIGHUP (a terminal that is closed), or `assay stop`. Ten seconds at "
        "most"
    )
    leaves_at_once = True

    @property
    def line(self) -> str:
        return "interrupted"


def exit_code_of(error: BaseException | None) -> int:
    """The exit code of a command that ends with ``error``; None: it ended well."""
    match error:
        case None:
            return 0
        case Fault():
            return error.exit_code
        case InputError() | OSError():
            return Refused.exit_code
        case KeyboardInterrupt():
            return Interrupted.exit_code
        case _:
            return 1  # as Python ends with a traceback
