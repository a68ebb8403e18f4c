"""Every combination of all levels: ``design: {full: all}``. The last factor runs fastest."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Literal

from assay.study.designs.base import DesignCell, DesignForm, StudyFactors, expanded, format_parents

__all__ = ["DESIGN"]


def _cells(study: StudyFactors, block: str) -> Iterator[DesignCell]:
    return (DesignCell(levels) for levels in expanded(study, {}))


def _size(study: StudyFactors, block: str) -> int:
    return prod(map(len, study.factors.values()))


def _format(study: StudyFactors, block: str) -> str:
    counts = [
        f"{len(levels)} {factor}"
        + (f" (with {format_parents(study, factor)})" if factor in study.nested else "")
        for factor, levels in study.factors.items()
    ]
    return f"full factorial: {' × '.join(counts)}"


DESIGN = DesignForm(
    name="full",
    Block=Literal["all"],
    example="full: all",
    description="`all`: every combination of all levels.",
    cells=_cells,
    size=_size,
    format=_format,
)
