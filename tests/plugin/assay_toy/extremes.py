"""A design of a third party, found by entry point: the cell of all first levels, that of all last ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from assay.study.designs import DesignCell, DesignForm, StudyFactors

__all__ = ["DESIGN"]

Block = Literal["first", "last", "both"]


def _cells(study: StudyFactors, block: Block) -> Iterator[DesignCell]:
    for name, place in (("first", 0), ("last", -1)):
        if block in (name, "both"):
            yield DesignCell({factor: list(levels)[place] for factor, levels in study.factors.items()})


DESIGN = DesignForm(
    name="extremes",
    Block=Block,
    example="extremes: both",
    description="The cell of all first levels, that of all last levels, or both.",
    cells=_cells,
    size=lambda study, block: 2 if block == "both" else 1,
    format=lambda study, block: f"extremes: {block}",
)
