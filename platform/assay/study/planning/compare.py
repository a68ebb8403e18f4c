"""Comparisons of a plan: which pairs of cells answer them, and whether only the factor separates a pair.

A pair is confounded when its resolved settings (config, data, supervision) differ outside what the levels
of the compared factor set. Such a comparison is refused before anything trains, or allowed by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from assay.study.design import asked_comparisons, data_factor, level_pairs, pairs_of
from assay.study.designs import DesignCell
from assay.study.file.schema import ComparisonSpec, Study
from assay.study.file.source import KeyPath, StudyProblem
from assay.study.planning.cell_names import Levels, cell_name
from assay.study.planning.cells import Cell
from assay.study.planning.identity import canonical_json, differences, flatten
from assay.study.settings.methods import is_own_setting
from assay.study.settings.nesting import NO_LEVEL, below
from assay.study.settings.settings import Settings, level_paths

__all__ = ["Comparison", "format_value", "improvement", "is_below", "plan_comparisons"]

Difference = dict[str, tuple[Any, Any]]  # path → (value in one cell, value in the other)
_LONGEST_VALUE = 40


class _Confounded(NamedTuple):
    difference: Difference
    pairs: list[tuple[str, str]]


class Comparison(BaseModel):
    """Level ``start`` against level ``end`` of one factor, in every pair of cells alike in all else."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    factor: str
    start: str
    end: str
    pairs: tuple[tuple[str, str], ...] = Field(description="Names of cells: (with start, with end).")
    paths: tuple[str, ...] = Field(description="Settings in which the pairs differ: those of the levels.")
    values: dict[str, tuple[Any, Any]] = Field(
        default_factory=dict, description="Of the paths: (with start, with end), where all pairs agree."
    )
    allowed: dict[str, str] = Field(default_factory=dict, description="Path outside the factor → reason.")
    ask: Literal["pays", "can go"] = Field(
        default="pays", description="`can go`: also whether dropping `end` for `start` loses too little."
    )
    over: str | None = Field(
        default=None, description="The factor whose levels are the data sets of a claim over them."
    )

    @property
    def name(self) -> str:
        """``supervision: few → full``."""
        return f"{self.factor}: {self.start} → {self.end}"

    def changes(self) -> list[str]:
        """The settings in words: ``config.lr 0.01 → 1.0``; the path alone where pairs differ in its
        values."""
        return [
            f"{path} {format_value(self.values[path][0])} → {format_value(self.values[path][1])}"
            if path in self.values
            else path
            for path in self.paths
        ]


def format_value(value: Any) -> str:
    """A value as the study file spells it; a dash where there is none, and a long one cut."""
    if value is None:
        return NO_LEVEL
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def plan_comparisons(
    study: Study, cells: Sequence[DesignCell], settings: Mapping[str, Settings]
) -> tuple[list[Comparison], list[StudyProblem]]:
    """Every comparison that the study asks for, with its pairs; problems where one cannot be made."""
    planner = _Planner(study, cells, settings)
    comparisons: list[Comparison] = []
    for spec, at in asked_comparisons(study):
        answering = list(planner.comparisons(spec, at))
        if not answering:
            planner.problems.append(StudyProblem(at, _what_would_be_needed(study, spec, planner.levels)))
        comparisons += answering
    return comparisons, planner.problems


class _Planner:
    """Pairs cells, and sorts what separates them into settings of the levels, what is allowed, and what
    confounds."""

    def __init__(self, study: Study, cells: Sequence[DesignCell], settings: Mapping[str, Settings]) -> None:
        self.study, self.settings = study, settings
        self.levels = [cell.levels for cell in cells]
        named = ((cell_name(study.factors, cell.levels), cell) for cell in cells)
        self.overridden = {
            name: level_paths(settings[name].trainable, cell.override)
            for name, cell in named
            if cell.override
        }
        self.problems: list[StudyProblem] = []
        self._level_paths: dict[tuple[str, str, str], set[str]] = {}  # of a level, looked up for every pair

    def comparisons(self, spec: ComparisonSpec, at: KeyPath) -> Iterator[Comparison]:
        """One for each pair of levels that the spec is about and that some cells differ in."""
        sub = below(self.study.nested, spec.factor)
        for start, end in level_pairs(self.study, spec):
            pairs = pairs_of(self.levels, spec.factor, start, end, sub)
            if pairs:
                compared = self._comparison(spec.factor, start, end, pairs, at)
                over = data_factor(self.study, spec)
                if over is not None:
                    self.problems += self._few_data_sets(compared.name, pairs, over, at)
                yield compared.model_copy(update={"ask": spec.ask, "over": over})

    def _few_data_sets(
        self, name: str, pairs: Sequence[tuple[Levels, Levels]], over: str, at: KeyPath
    ) -> Iterator[StudyProblem]:
        """Refuse a claim over data sets of which the design has one alone."""
        found = list(dict.fromkeys(start[over] for start, _ in pairs))
        if len(found) < 2:
            message = (
                f"{name}: a claim over data sets has several, found {over} at {found[0]} alone. Train both "
                f"levels on more of {', '.join(self.study.factors[over])}, or leave the claim out"
            )
            yield StudyProblem((*at, "claim"), message)

    def _comparison(
        self, factor: str, start: str, end: str, pairs: Sequence[tuple[Levels, Levels]], at: KeyPath
    ) -> Comparison:
        compared = {factor, *below(self.study.nested, factor)}
        compared_values: dict[str, list[tuple[Any, Any]]] = {}
        allowed: dict[str, str] = {}
        confounded: dict[str, _Confounded] = {}  # pairs that differ alike are told together
        factors = self.study.factors
        names = tuple((cell_name(factors, a), cell_name(factors, b)) for a, b in pairs)
        for (first, second), (a, b) in zip(names, pairs, strict=True):
            # Settings that the factor itself sets, on either side, are what is compared. Everything else that
            # differs makes the comparison worthless, unless the study allows it and says why.
            compared_paths = {
                path
                for cell, levels in ((first, a), (second, b))
                for name in compared
                for path in self._paths_of_level(cell, name, levels[name])
            }

            # What a row overrides belongs to that row, and to no level of the factor.
            foreign = self.overridden.get(first, set()) | self.overridden.get(second, set())
            outside: Difference = {}
            differing = self._differing(first, second)

            # Another method has other settings of its own: they come with it, and are part of what is
            # compared.
            another = "trainable" in differing and "trainable" in compared_paths - foreign
            for path, values in differing.items():
                of_method = another and is_own_setting(path)
                if (of_method or is_below(path, compared_paths)) and not is_below(path, foreign):
                    compared_values.setdefault(path, []).append(values)
                elif path in self.study.allow:
                    allowed[path] = self.study.allow[path]
                else:
                    outside[path] = values
            if outside:
                alike = confounded.setdefault(canonical_json(outside), _Confounded(outside, []))
                alike.pairs.append((first, second))
        comparison = Comparison(
            factor=factor,
            start=start,
            end=end,
            pairs=names,
            paths=tuple(compared_values),
            values={path: v[0] for path, v in compared_values.items() if v.count(v[0]) == len(pairs)},
            allowed=allowed,
        )
        self.problems += [
            StudyProblem(at, _format_confounded(comparison, group)) for group in confounded.values()
        ]
        return comparison

    def _paths_of_level(self, cell: str, factor: str, level: str) -> set[str]:
        """Settings of a level in a cell: the presets of its method count."""
        if level == NO_LEVEL:
            return set()
        trainable = self.settings[cell].trainable
        key = (trainable.name, factor, level)
        if key not in self._level_paths:
            self._level_paths[key] = level_paths(trainable, self.study.factors[factor][level])
        return self._level_paths[key]

    def _differing(self, first: str, second: str) -> Difference:
        """Settings in which two cells differ."""
        cells = self.settings[first], self.settings[second]
        alike = cells[0].trainable.name == cells[1].trainable.name
        return differences(*(cell.flat if alike else cell.as_written for cell in cells))


def improvement(start: Cell, source: str, best: Cell) -> Comparison:
    """The best point of a search against one that it started from; ``source`` says which: ``preset``."""
    values = differences(flatten({"config": start.config}), flatten({"config": best.config}))
    return Comparison(
        factor="search",
        start=source,
        end="best",
        pairs=((start.name, best.name),),
        paths=tuple(values),
        values=values,
    )


def is_below(path: str, parents: set[str]) -> bool:
    """True where a path is one of ``parents``, or lies below one."""
    parts = path.split(".")
    return any(".".join(parts[:n]) in parents for n in range(1, len(parts) + 1))


def _format_confounded(comparison: Comparison, confounded: _Confounded) -> str:
    """The paths and both values side by side, under the names of the cells."""
    first, second = confounded.pairs[0]
    alike = len(confounded.pairs)
    which = "two cells differ" if alike == 1 else f"{alike} pairs of cells differ alike"
    rows = [("", first, second)]
    rows += [(path, format_value(a), format_value(b)) for path, (a, b) in confounded.difference.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"      {path:<{widths[0]}}   {a:<{widths[1]}}   {b}" for path, a, b in rows]
    reasons = ", ".join(f"{path}: why" for path in confounded.difference)
    return "\n".join(
        [
            f"{comparison.name} is confounded, {which} outside {comparison.factor}:",
            *lines,
            "    Make them alike, or give the reason, which will stand under every table:",
            f"    `allow: {{{reasons}}}`",
        ]
    )


def _what_would_be_needed(study: Study, spec: ComparisonSpec, cells: Sequence[Levels]) -> str:
    pairs = level_pairs(study, spec)

    # The shortest way out is shown: a cell that is there, and the row that would be its partner.
    for start, end in pairs:
        for cell in cells:
            if cell[spec.factor] in (start, end):
                wanted = end if cell[spec.factor] == start else start
                row = ", ".join(
                    f"{f}: {wanted if f == spec.factor else level}"
                    for f, level in cell.items()
                    if level != NO_LEVEL
                )
                return (
                    f"no two cells differ in {spec.factor} only ({start} → {end}). "
                    f"Beside {cell_name(study.factors, cell)} the design would need the row {{{row}}}"
                )
    levels = sorted({level for pair in pairs for level in pair})
    return f"no cell of the design has {spec.factor} at {' or '.join(levels)}"
