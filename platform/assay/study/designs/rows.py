"""Rows of a table, each with a level of every factor: ``design: {rows: [{stop: [off, on], distance: on}]}``.

A list of levels expands to all its combinations. A row may set more on top of its levels (``override``).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from pydantic import BaseModel, ConfigDict, Field, field_validator

from assay.study.designs.base import DesignCell, DesignForm, StudyFactors, expanded, row_problems
from assay.study.file.blocks import Level, LevelNames
from assay.study.file.source import KeyPath, StudyProblem

__all__ = ["DESIGN", "Row"]


class Row(BaseModel):
    """A row of a table: a level of every factor that applies; lists expand to all their combinations."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, serialize_by_alias=True)
    __pydantic_extra__: dict[str, LevelNames]  # pyright: ignore[reportIncompatibleVariableOverride]
    override: Level | None = Field(
        default=None, description="Settings of this row alone, on top of its levels: checked as a confounder."
    )

    @field_validator("override")
    @classmethod
    def _without_words(cls, override: Level | None) -> Level | None:
        if override is not None and override.says is not None:
            raise ValueError("a row is named by its levels: leave `says` out")
        return override

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Factor → levels."""
        return self.__pydantic_extra__


Rows = tuple[Row, ...]


def _cells(study: StudyFactors, rows: Rows) -> Iterator[DesignCell]:
    for index, row in enumerate(rows):
        at: KeyPath = ("design", "rows", index, "override")
        for levels in expanded(study, row.levels):
            yield DesignCell(levels, row.override, at)


def _problems(study: StudyFactors, rows: Rows) -> Iterator[StudyProblem]:
    if not rows:
        yield StudyProblem(("design", "rows"), "a design has at least one row, found none")
    for index, row in enumerate(rows):
        yield from row_problems(study, row.levels, ("design", "rows", index))


def _size(study: StudyFactors, rows: Rows) -> int:
    return sum(prod(map(len, row.levels.values())) for row in rows)


def _format(study: StudyFactors, rows: Rows) -> str:
    return "one row" if len(rows) == 1 else f"{len(rows)} rows"


DESIGN = DesignForm(
    name="rows",
    Block=Rows,
    example="rows: [...]",
    description="Rows of a table, each with a level of every factor; lists expand.",
    cells=_cells,
    size=_size,
    format=_format,
    problems=_problems,
)
