"""Published figures of a study: what the authors report for its cells, to stand beside one's own.

They are reference values and nothing else: no part of a trial's id, of a record, or of MLflow.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from assay.study.file.blocks import STRICT
from assay.study.names import Name
from assay.study.planning.cell_names import Levels

__all__ = ["Published", "PublishedRow"]


class PublishedRow(BaseModel):
    """Figures that a source reports for some cells."""

    model_config = STRICT
    at: dict[Name, Name] = Field(
        default_factory=dict, description="Factor → level: all cells that have these levels; default: all."
    )
    values: dict[str, Annotated[float, Field(strict=True)]] = Field(
        min_length=1, description="Metric → value in assay's unit: shares are 0..1."
    )

    def is_of(self, levels: Levels) -> bool:
        """True where the figures are of the cell with these levels."""
        return self.at.items() <= levels.items()


class Published(BaseModel):
    """Reference values of one source, shown beside the study's own."""

    model_config = STRICT
    source: str = Field(
        min_length=1, max_length=500, description="Authors, year, where to find it, and which table."
    )
    rows: tuple[PublishedRow, ...] = Field(min_length=1, description="Figures, each with its cells.")

    def values_of(self, levels: Levels) -> dict[str, float]:
        """Metric → what is published for the cell with these levels."""
        return {
            metric: value for row in self.rows if row.is_of(levels) for metric, value in row.values.items()
        }
