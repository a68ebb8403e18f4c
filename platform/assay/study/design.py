"""Designs: which combinations of levels a study trains, and which of them it compares.

A combination has a level of every factor, in their order. A sub-factor that does not apply is ``–`` there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import NamedTuple

from assay.study.cell_names import Levels, cell_key, cell_name
from assay.study.nesting import NO_LEVEL, applies, below, parents_first
from assay.study.schema import ComparisonSpec, LeaveOneOut, Level, OneAtATime, Study
from assay.study.source import KeyPath, StudyProblem, refuse

__all__ = [
    "DesignCell",
    "asked_comparisons",
    "design_cells",
    "format_design",
    "left_out",
    "level_pairs",
    "main_factor",
    "pairs_of",
]


class DesignCell(NamedTuple):
    """A combination that a design asks for, and what its row sets on top of it."""

    levels: dict[str, str]
    override: Level | None = None
    at: KeyPath = ("design",)  # the place of the override in the file

    @property
    def key(self) -> str:
        """Its levels alone: what tells it from the others."""
        return cell_key(self.levels)


def design_cells(study: Study) -> tuple[list[DesignCell], list[str]]:
    """The combinations that the design asks for, each once, and what there is to say about them.

    Combinations come in the order of the rows; in a full factorial the last factor runs fastest; in
    the others the base or the whole comes first. References must have been checked
    (:func:`assay.study.design_rules.reference_problems`).

    Raises:
        InputError: If two rows ask for the same cell with other overrides.
    """
    cells: dict[str, DesignCell] = {}
    first: dict[str, int] = {}
    notes: list[str] = []
    problems: list[StudyProblem] = []
    by_row = study.design is not None and study.design.rows is not None
    for row, cell in _asked_cells(study):
        known = cells.setdefault(cell.key, cell)
        if known is cell:
            first[cell.key] = row
        elif known.override != cell.override:
            name = cell_name(study.factors, cell.levels)
            message = f"another `override` for the cell {name} than in row {first[cell.key]}: remove one"
            problems.append(StudyProblem(("design", "rows", row), message))
        elif by_row and first[cell.key] != row:
            name = cell_name(study.factors, cell.levels)
            notes.append(
                f"design.rows[{row}] asks again for the cell {name}, which row {first[cell.key]} has: "
                "it is trained once"
            )
    refuse(study.source, problems)
    return list(cells.values()), notes


def _asked_cells(study: Study) -> Iterator[tuple[int, DesignCell]]:
    design = study.design
    if design is None:
        yield 0, DesignCell({})
    elif design.rows is not None:
        for index, row in enumerate(design.rows):
            at: KeyPath = ("design", "rows", index, "override")
            for levels in _expanded(study, row.levels):
                yield index, DesignCell(levels, row.override, at)
    else:
        yield from ((0, DesignCell(levels)) for levels in _combinations(study))


def _combinations(study: Study) -> Iterator[dict[str, str]]:
    design = study.design
    assert design is not None
    if design.varied is None:
        yield from _expanded(study, {})
        return
    across = design.varied.across
    for fixed in product(*across.values()):
        held = {factor: (level,) for factor, level in zip(across, fixed, strict=True)}
        for chosen in _chosen(study):
            yield from _expanded(study, {**held, **{factor: (level,) for factor, level in chosen.items()}})


def _chosen(study: Study) -> Iterator[Levels]:
    """The levels of a design that varies one factor at a time, without those it is repeated across."""
    design = study.design.varied if study.design is not None else None
    if isinstance(design, OneAtATime):
        yield design.base
        for factor in _in_order(study, design.base):
            others = [level for level in study.factors[factor] if level != design.base[factor]]
            yield from ({**design.base, factor: level} for level in others)
    elif isinstance(design, LeaveOneOut):
        yield design.whole
        for factor in _in_order(study, design.whole):
            level = left_out(study, design, factor)
            assert level is not None, "reference_problems refuses it"
            yield {**design.whole, factor: level}
    elif design is not None:
        state = dict(design.base)
        yield state
        for step in design.add:
            state = {**state, **step}
            yield state


def left_out(study: Study, design: LeaveOneOut, factor: str) -> str | None:
    """The level of a factor that is left out; None where the study does not say."""
    others = [level for level in study.factors[factor] if level != design.whole[factor]]
    return design.without.get(factor, others[0] if len(others) == 1 else None)


def _in_order(study: Study, names: Collection[str]) -> list[str]:
    return [factor for factor in study.factors if factor in names]


def _expanded(study: Study, chosen: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """All combinations of the chosen levels; a factor that is not chosen takes each of its levels."""
    nested = study.nested
    if not nested:
        for levels in product(
            *(chosen.get(factor, tuple(study.factors[factor])) for factor in study.factors)
        ):
            yield dict(zip(study.factors, levels, strict=True))
        return
    made: list[dict[str, str]] = [{}]
    for factor in parents_first({name: nested.get(name, {}) for name in study.factors}):
        levels = chosen.get(factor, tuple(study.factors[factor]))
        made = [
            {**one, factor: level}
            for one in made
            for level in (levels if applies(nested, factor, one) else (NO_LEVEL,))
        ]
    for one in made:
        yield {factor: one[factor] for factor in study.factors}


def asked_comparisons(study: Study) -> list[tuple[ComparisonSpec, KeyPath]]:
    """What is compared, and where the file says so: the stated comparisons, or those the design is made for.

    One at a time: the base with each other level. Leave one out: the whole with and without each factor.
    Cumulative: each step with the one before. Rows and a full factorial compare only what is stated.
    """
    if study.comparisons is not None:
        return [(spec, ("comparisons", index)) for index, spec in enumerate(study.comparisons)]
    return [(spec, ("design",)) for spec in _natural_comparisons(study)]


def _natural_comparisons(study: Study) -> Iterator[ComparisonSpec]:
    design = study.design.varied if study.design is not None else None
    if isinstance(design, OneAtATime):
        for factor in _in_order(study, design.base):
            if len(study.factors[factor]) > 1:
                yield ComparisonSpec(factor=factor, **{"from": design.base[factor]})
    elif isinstance(design, LeaveOneOut):
        for factor in _in_order(study, design.whole):
            yield ComparisonSpec(
                factor=factor, **{"from": left_out(study, design, factor), "to": design.whole[factor]}
            )
    elif design is not None:
        state = dict(design.base)
        for step in design.add:
            factor = main_factor(study, step)
            yield ComparisonSpec(factor=factor, **{"from": state[factor], "to": step[factor]})
            state |= step


def main_factor(study: Study, step: Collection[str]) -> str:
    """The factor that a step is about; the others are sub-factors of its level."""
    return next(
        (factor for factor in step if set(step) <= {factor, *below(study.nested, factor)}), next(iter(step))
    )


def level_pairs(study: Study, spec: ComparisonSpec) -> list[tuple[str, str]]:
    """The pairs (from, to) of levels that a comparison is about, in the order of the study file."""
    levels = list(study.factors[spec.factor])
    if spec.start is not None and spec.end is not None:
        return [(spec.start, spec.end)]
    if spec.start is not None:
        return [(spec.start, level) for level in levels if level != spec.start]
    if spec.end is not None:
        return [(level, spec.end) for level in levels if level != spec.end]
    return list(combinations(levels, 2))


def pairs_of(
    cells: Sequence[Levels], factor: str, start: str, end: str, subordinate: Collection[str] = ()
) -> list[tuple[Levels, Levels]]:
    """All pairs of cells that differ in ``factor`` only, from ``start`` to ``end``.

    A sub-factor of the compared levels (``subordinate``) may be absent on one side: it came with the level.
    """
    compared = {factor, *subordinate}
    partners: dict[tuple[tuple[str, str], ...], list[Levels]] = {}
    for cell in cells:
        if cell[factor] == end:
            partners.setdefault(_others(cell, compared), []).append(cell)
    return [
        (cell, partner)
        for cell in cells
        if cell[factor] == start
        for partner in partners.get(_others(cell, compared), ())
        if all(cell[s] == partner[s] or NO_LEVEL in (cell[s], partner[s]) for s in subordinate)
    ]


def _others(cell: Levels, compared: Collection[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, level) for name, level in cell.items() if name not in compared)


def format_design(study: Study) -> str:
    """A design in a line: ``leave one out of balance on, stop on: balance off, stop off``."""
    if study.design is None:
        return "one cell"
    if study.design.rows is not None:
        number = len(study.design.rows)
        return "one row" if number == 1 else f"{number} rows"
    if study.design.full is not None:
        return "full factorial: " + " × ".join(f"{len(levels)} {f}" for f, levels in study.factors.items())
    design = study.design.varied
    assert design is not None
    across = "".join(f", for each {f} of {', '.join(levels)}" for f, levels in design.across.items())
    if isinstance(design, OneAtATime):
        return f"one at a time from {_format_levels(study, design.base)}{across}"
    if isinstance(design, LeaveOneOut):
        factors = _in_order(study, design.whole)
        without = ", ".join(f"{factor} {left_out(study, design, factor)}" for factor in factors)
        return f"leave one out of {_format_levels(study, design.whole)}: {without}{across}"
    steps = ", then ".join(" ".join(f"{f} {level}" for f, level in step.items()) for step in design.add)
    return f"cumulative from {_format_levels(study, design.base)}: {steps}{across}"


def _format_levels(study: Study, levels: Levels) -> str:
    return ", ".join(f"{factor} {levels[factor]}" for factor in _in_order(study, levels))
