"""The end of a training process that says nothing of it."""

from __future__ import annotations

__all__ = ["DiedError"]


class DiedError(Exception):
    """The training process ended without a word: killed, out of memory, or by a fault of a library.

    Attributes:
        way_out: What to do about it, in a sentence.
    """

    def __init__(self, how: str, way_out: str = "Mend the cause (more memory, a smaller batch)") -> None:
        super().__init__(how)
        self.way_out = way_out
