"""Counts the test images on which a search has been, so that a table says what its winners' scores hide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainables.data.splits import Split

__all__ = ["overlap_warning"]


def overlap_warning(searched: Sequence[Split], tested: Sequence[Split]) -> str | None:
    """Count the test images that a search has seen; None where it saw none of them.

    Args:
        searched: Splits on which points are trained and validated.
        tested: Splits on which winners are tested.
    """
    validated = {sample for split in searched for sample in split.validation}
    trained = {sample for split in searched for sample in split.train}
    tests = [set(split.test) for split in tested]
    if all(test.isdisjoint(validated | trained) for test in tests):
        return None
    images = _range([len(test) for test in tests])
    validation, training = (_range([len(test & part) for test in tests]) for part in (validated, trained))
    return (
        f"Of the {images} test images of a winner, {validation} validated points of the search and "
        f"{training} trained them, which flatters the winner. `search: {{nested: true}}` searches each fold "
        "or split by itself."
    )


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
