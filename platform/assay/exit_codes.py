"""Exit codes of the program that more than one of its parts needs to know; all are in docs/commands.md."""

from __future__ import annotations

__all__ = ["INTERRUPTED", "LOST", "REFUSED", "lost_sentence"]

REFUSED = 2  # input that breaks a rule, a file or storage that cannot be reached
LOST = 3  # a part of Ray died under a study
INTERRUPTED = 130


def lost_sentence(reason: str) -> str:
    """The line that a user reads when Ray died under a study."""
    return (
        f"{reason}, and with it the run. What is finished is kept: run the same command again, it trains "
        "what is missing."
    )
