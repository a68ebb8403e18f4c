"""Cells and trials: the rows of a study's table, and what is trained for them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from assay.study.planning.cell_names import cell_key
from assay.study.planning.identity import flatten
from trainables.data.spec import DataSpec, Supervision

__all__ = ["Cell", "Diff", "Trial", "make_trial"]

Diff = dict[str, tuple[Any, Any]]  # path → (value in the base, value here)


class Trial(BaseModel, frozen=True, extra="forbid"):
    """One cell at one repeat: what is trained once."""

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


class Cell(BaseModel, frozen=True, extra="forbid"):
    """One combination of levels: a row of a table."""

    name: str
    levels: dict[str, str]
    trainable: str  # its name in the catalogue; of a file, name and hash: blur@3f9c1d2e4a5b6c7d
    revision: int
    config: dict[str, Any]
    supervision: Supervision
    data: DataSpec
    diff: Diff
    footnotes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Key of the levels, ``on·off``: by it a search draws."""
        return cell_key(self.levels)

    @property
    def planned_as(self) -> str:
        """Name of the cell as the plan has it before anything is drawn."""
        return self.name

    @property
    def match(self) -> tuple[object, ...]:
        """Cells of two studies that are equal in this are compared with each other."""
        return (self.key,)

    @property
    def labels(self) -> dict[str, str]:
        """Labels that set the cell apart, for a table outside: ``trainable``, ``level.stop``."""
        levels = {f"level.{factor}": level for factor, level in self.levels.items()}
        return {"trainable": self.trainable, **levels}

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
