"""Comparisons of a plan: which pairs of cells answer them, and whether only the factor separates a pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from assay.study.design import cell_name, level_pairs, pairs_of
from assay.study.schema import ComparisonSpec, Study
from assay.study.settings import AnyTrainable, level_paths
from assay.study.source import Path, Problem

__all__ = ["CompareCells", "Comparison", "plan_comparisons"]


class Comparison(BaseModel):
    """Level ``start`` against level ``end`` of one factor, in every pair of cells alike in all else."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    factor: str
    start: str
    end: str
    pairs: tuple[tuple[str, str], ...] = Field(description="Names of cells: (with start, with end).")
    paths: tuple[str, ...] = Field(description="Settings in which the pairs differ: the bundle.")
    allowed: dict[str, str] = Field(default_factory=dict, description="Path outside the factor → reason.")

    @property
    def name(self) -> str:
        """``supervision: few → full``."""
        return f"{self.factor}: {self.start} → {self.end}"


class CompareCells:
    """The cells of a plan as comparisons see them: levels, and all settings as flat JSON values."""

    def __init__(
        self, levels: Sequence[Mapping[str, str]], settings: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.levels = levels
        self.settings = settings  # name of the cell → path → value

    def differing(self, one: str, other: str) -> dict[str, tuple[Any, Any]]:
        """Path → (value in one, value in the other) where they differ; None where a side has no such path."""
        a, b = self.settings[one], self.settings[other]
        paths = [*a, *(path for path in b if path not in a)]
        return {path: (a.get(path), b.get(path)) for path in paths if a.get(path) != b.get(path)}


def plan_comparisons(
    study: Study, trainable: AnyTrainable, cells: CompareCells
) -> tuple[list[Comparison], list[Problem]]:
    """Every comparison that the study asks for, with its pairs; problems where one cannot be made."""
    comparisons: list[Comparison] = []
    problems: list[Problem] = []
    for index, spec in enumerate(study.comparisons):
        at: Path = ("comparisons", index)
        found = list(_comparisons(study, trainable, cells, spec, at=at, problems=problems))
        if not found:
            problems.append(Problem(at, _what_would_be_needed(study, spec, cells.levels)))
        comparisons += found
    return comparisons, problems


def _comparisons(
    study: Study,
    trainable: AnyTrainable,
    cells: CompareCells,
    spec: ComparisonSpec,
    *,
    at: Path,
    problems: list[Problem],
) -> Iterator[Comparison]:
    for start, end in level_pairs(study, spec):
        pairs = pairs_of(cells.levels, spec.factor, start, end)
        if not pairs:
            continue
        own = level_paths(study, trainable, spec.factor, start)
        own |= level_paths(study, trainable, spec.factor, end)
        bundle: dict[str, None] = {}
        allowed: dict[str, str] = {}
        for one, other in ((cell_name(a), cell_name(b)) for a, b in pairs):
            for path, (before, after) in cells.differing(one, other).items():
                if _is_below(path, own):
                    bundle[path] = None
                elif path in study.allow:
                    allowed[path] = study.allow[path]
                else:
                    message = (
                        f"{one} and {other} differ outside {spec.factor}: {path} is {before!r} "
                        f"and {after!r}. Make them alike, or write the reason: `allow: {{{path}: ...}}`"
                    )
                    problems.append(Problem(at, message))
        names = tuple((cell_name(a), cell_name(b)) for a, b in pairs)
        yield Comparison(
            factor=spec.factor, start=start, end=end, pairs=names, paths=tuple(bundle), allowed=allowed
        )


def _is_below(path: str, parents: set[str]) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:n]) in parents for n in range(1, len(parts) + 1))


def _what_would_be_needed(study: Study, spec: ComparisonSpec, cells: Sequence[Mapping[str, str]]) -> str:
    pairs = level_pairs(study, spec)
    for start, end in pairs:
        for cell in cells:
            if cell[spec.factor] in (start, end):
                wanted = end if cell[spec.factor] == start else start
                row = ", ".join(f"{f}: {wanted if f == spec.factor else level}" for f, level in cell.items())
                return (
                    f"no two cells differ in {spec.factor} only ({start} → {end}). "
                    f"Beside {cell_name(cell)} the design would need the row {{{row}}}"
                )
    levels = sorted({level for pair in pairs for level in pair})
    return f"no cell of the design has {spec.factor} at {' or '.join(levels)}"
