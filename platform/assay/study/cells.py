"""Cells and trials: the rows of a study's table, and what is trained for them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from assay.study.cell_names import cell_key
from assay.study.identity import flatten
from assay.study.search import Scalar
from trainables.data.spec import DataSpec, Supervision

__all__ = ["Cell", "Diff", "Role", "Trial", "make_trial"]

_FROZEN = ConfigDict(frozen=True, extra="forbid")
Role = Literal["design", "point", "replicate"]
Diff = dict[str, tuple[Any, Any]]  # path → (value in the base, value here)


class Trial(BaseModel):
    """One cell at one repeat: what is trained once."""

    model_config = _FROZEN
    id: str
    cell: str
    levels: dict[str, str]
    seed: int
    fold: int | None
    trainable: str  # its name in the catalogue; of a file, name and hash: blur@3f9c1d2e4a5b6c7d
    revision: int
    config: dict[str, Any]  # every field of the trainable's Config, resolved
    supervision: Supervision
    data: DataSpec
    manifest: str  # hash, or "unknown" in a plan without data
    split: str  # hash, naming the mask subset
    diff: Diff


class Cell(BaseModel):
    """One combination of levels, or one point that a search drew in it: a row of a table."""

    model_config = _FROZEN
    name: str
    levels: dict[str, str]
    trainable: str  # its name in the catalogue; of a file, name and hash: blur@3f9c1d2e4a5b6c7d
    revision: int
    config: dict[str, Any]
    supervision: Supervision
    data: DataSpec
    diff: Diff
    footnotes: tuple[str, ...] = ()
    role: Role = "design"
    searched: str | None = None  # of a point: the cell it was drawn in
    drawn: dict[str, Scalar] = {}  # of a point: its values

    @property
    def key(self) -> str:
        """Key by which a search draws, and cells of two studies are matched: ``on·off #3 replicated``."""
        key = cell_key(self.levels)
        return key if self.searched is None else key + self.name.removeprefix(self.searched)

    def settings(self) -> dict[str, Any]:
        """All settings as JSON values, flat: ``trainable``, ``config.lr``, ``supervision`` …"""
        return flatten(
            {
                "trainable": self.trainable,
                "config": self.config,
                "supervision": str(self.supervision),
                "data": self.data.model_dump(mode="json"),
            }
        )


def make_trial(cell: Cell, *, id: str, seed: int, fold: int | None, manifest: str, split: str) -> Trial:
    """A repeat of a cell. Every part was checked with the cell; again would cost more than all the rest."""
    return Trial.model_construct(
        id=id,
        cell=cell.name,
        levels=cell.levels,
        seed=seed,
        fold=fold,
        trainable=cell.trainable,
        revision=cell.revision,
        config=cell.config,
        supervision=cell.supervision,
        data=cell.data,
        manifest=manifest,
        split=split,
        diff=cell.diff,
    )
