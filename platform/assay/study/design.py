"""Designs: which combinations of levels a study trains, and which of them it compares.

A combination has a level of every factor, in their order. A sub-factor that does not apply is ``–`` there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations

from assay.study.designs import DesignCell
from assay.study.file.schema import ComparisonSpec, Study
from assay.study.file.source import KeyPath, StudyProblem, dotted, refuse
from assay.study.planning.cell_names import Levels, cell_name
from assay.study.settings.nesting import NO_LEVEL, below

__all__ = [
    "asked_comparisons",
    "data_factor",
    "data_factors",
    "design_cells",
    "format_design",
    "level_pairs",
    "pairs_of",
]

_NAMES_DATA = frozenset({"reader", "path", "classes", "options"})  # keys of `data` that choose images


def design_cells(study: Study) -> list[DesignCell]:
    """The combinations that the design asks for, each once, in the order of the rows.

    In a full factorial the last factor runs fastest; in the others the base or the whole comes first.
    References must have been checked (:func:`assay.study.design_rules.reference_problems`).

    Raises:
        InputError: If two rows ask for the same cell with other overrides.
    """
    if study.design is None:
        return [DesignCell({})]
    cells: dict[str, DesignCell] = {}
    problems: list[StudyProblem] = []

    # Rows with lists of levels may meet in a cell. It stays one cell, unless they override its settings
    # differently.
    for cell in study.design.form.cells(study, study.design.block):
        known = cells.setdefault(cell.key, cell)
        if known.override != cell.override:
            name = cell_name(study.factors, cell.levels)
            message = f"another `override` for the cell {name} than {dotted(known.at)}: remove one of them"
            problems.append(StudyProblem(cell.at, message))
    refuse(study.source, problems)
    return list(cells.values())


def asked_comparisons(study: Study) -> list[tuple[ComparisonSpec, KeyPath]]:
    """List the comparisons with their place in the file: the stated ones, or those the design is made for.

    One at a time: the base with each other level. Leave one out: the whole with and without each factor.
    Cumulative: each step with the one before. Rows and a full factorial compare only what is stated.
    """
    if study.comparisons is not None:
        return [(spec, ("comparisons", index)) for index, spec in enumerate(study.comparisons)]
    if study.design is None:
        return []
    return [(spec, ("design",)) for spec in study.design.form.comparisons(study, study.design.block)]


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


def data_factors(study: Study, compared: str) -> list[str]:
    """Factors beside the compared one whose levels name data: these may be the data sets of a claim."""
    nested = below(study.nested, compared)
    return [
        factor
        for factor, levels in study.factors.items()
        if factor != compared
        and factor not in nested
        and any(_NAMES_DATA.intersection(level.data) for level in levels.values())
    ]


def data_factor(study: Study, spec: ComparisonSpec) -> str | None:
    """The factor whose levels are the data sets of a comparison; None: it claims nothing over data sets."""
    if spec.claim is None:
        return None
    return spec.over or data_factors(study, spec.factor)[0]


def pairs_of(
    cells: Sequence[Levels], factor: str, start: str, end: str, subordinate: Collection[str] = ()
) -> list[tuple[Levels, Levels]]:
    """List all pairs of cells that differ in ``factor`` only, from ``start`` to ``end``.

    A sub-factor of the compared levels (``subordinate``) may be absent on one side: it came with the level.
    """
    # Partners are found by what a pair must have in common: one walk through the cells instead of one through
    # all pairs.
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
    return study.design.form.format(study, study.design.block)
