"""Designs: which combinations of levels a study trains, and which of them it compares.

A cell is named by its levels in the order of the factors (``few·on·off·on``): short, stable when rows
are added or moved, and the same in tables, MLflow and the pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, product
from math import prod

from assay.study.schema import ComparisonSpec, Study
from assay.study.source import Path, Problem, nearest

__all__ = ["BASE_CELL", "cell_name", "design_cells", "level_pairs", "pairs_of", "reference_problems"]

MAX_TRIALS = 1_000_000
BASE_CELL = "base"  # the only cell of a study without factors

Levels = Mapping[str, str]  # factor → level, in the order of the factors


def cell_name(levels: Levels) -> str:
    """``{"supervision": "few", "stop": "on"}`` is called ``few·on``."""
    return "·".join(levels.values()) or BASE_CELL


def design_cells(study: Study) -> tuple[list[dict[str, str]], list[str]]:
    """The combinations that the design asks for, each once, and what there is to say about them.

    Combinations come in the order of the rows; in a full factorial the last factor runs fastest; in
    one-at-a-time the base comes first. References must have been checked (``reference_problems``).
    """
    cells: dict[str, dict[str, str]] = {}
    first: dict[str, int] = {}
    notes: list[str] = []
    for row, levels in _combinations(study):
        name = cell_name(levels)
        if name in cells:
            notes.append(
                f"design.rows[{row}] asks again for the cell {name}, which row {first[name]} has: "
                "it is trained once"
            )
            continue
        cells[name], first[name] = levels, row
    return list(cells.values()), notes


def _combinations(study: Study) -> Iterator[tuple[int, dict[str, str]]]:
    design, factors = study.design, list(study.factors)
    if design is None:
        yield 0, {}
    elif design.rows is not None:
        for index, row in enumerate(design.rows):
            for chosen in product(*(row[factor] for factor in factors)):
                yield index, dict(zip(factors, chosen, strict=True))
    elif design.full is not None:
        for index, chosen in enumerate(product(*study.factors.values())):
            yield index, dict(zip(factors, chosen, strict=True))
    elif design.one_at_a_time is not None:
        base = {factor: design.one_at_a_time.base[factor] for factor in factors}
        yield 0, base
        for factor, levels in study.factors.items():
            yield from ((0, {**base, factor: level}) for level in levels if level != base[factor])


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


def pairs_of(cells: Sequence[Levels], factor: str, start: str, end: str) -> list[tuple[Levels, Levels]]:
    """All pairs of cells that differ in ``factor`` only, from ``start`` to ``end``."""
    partners = {_others(cell, factor): cell for cell in cells if cell[factor] == end}
    return [
        (cell, partners[_others(cell, factor)])
        for cell in cells
        if cell[factor] == start and _others(cell, factor) in partners
    ]


def _others(cell: Levels, factor: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, level) for name, level in cell.items() if name != factor)


def reference_problems(study: Study) -> list[Problem]:
    """Names of factors and levels that the study uses and does not define, and rows that lack some."""
    problems = list(_design_problems(study)) or list(_too_many_trials(study))
    for index, spec in enumerate(study.comparisons):
        at: Path = ("comparisons", index)
        if spec.factor not in study.factors:
            problems.append(_unknown((*at, "factor"), "factor", spec.factor, study.factors))
            continue
        levels = study.factors[spec.factor]
        for key, level in (("from", spec.start), ("to", spec.end)):
            if level is not None and level not in levels:
                problems.append(_unknown((*at, key), f"level of {spec.factor}", level, levels))
        if spec.start is not None and spec.start == spec.end:
            problems.append(Problem(at, f"a comparison has two levels, found `{spec.start}` twice"))
        elif len(levels) < 2:
            problems.append(Problem(at, f"a comparison needs two levels, `{spec.factor}` has one"))
    return problems


def _design_problems(study: Study) -> Iterator[Problem]:
    design = study.design
    if design is None:
        if study.factors:
            message = (
                "a study with factors says which combinations are trained: `design: {full: all}`, "
                "`design: {one_at_a_time: {base: {...}}}` or `design: {rows: [...]}`"
            )
            yield Problem(("design",), message)
        return
    if not study.factors:
        yield Problem(("design",), "a design combines levels, and the study has no `factors`")
        return
    if design.rows is not None:
        if not design.rows:
            yield Problem(("design", "rows"), "a design has at least one row")
        for index, row in enumerate(design.rows):
            yield from _row_problems(study, row, ("design", "rows", index))
    elif design.one_at_a_time is not None:
        base = {factor: (level,) for factor, level in design.one_at_a_time.base.items()}
        yield from _row_problems(study, base, ("design", "one_at_a_time", "base"))


def _too_many_trials(study: Study) -> Iterator[Problem]:
    """A few lines can ask for more combinations than memory holds: count before they are listed."""
    if study.design is None:
        return
    if study.design.rows is not None:
        cells = sum(prod(len(row[factor]) for factor in study.factors) for row in study.design.rows)
    elif study.design.full is not None:
        cells = prod(len(levels) for levels in study.factors.values())
    else:
        cells = 1 + sum(len(levels) - 1 for levels in study.factors.values())
    trials = cells * len(study.repeats.seeds) * max(1, len(study.repeats.folds))
    if trials > MAX_TRIALS:
        message = f"a study has at most {MAX_TRIALS:,} trials, found {trials:,}: {cells:,} cells. Divide it"
        yield Problem(("design",), message)


def _row_problems(study: Study, row: Mapping[str, Sequence[str]], at: Path) -> Iterator[Problem]:
    for factor, levels in row.items():
        if factor not in study.factors:
            yield _unknown((*at, factor), "factor", factor, study.factors)
            continue
        for level in levels:
            if level not in study.factors[factor]:
                yield _unknown((*at, factor), f"level of {factor}", level, study.factors[factor])
    missing = [factor for factor in study.factors if factor not in row]
    if missing:
        yield Problem(at, f"a row has a level of every factor; missing: {', '.join(missing)}")


def _unknown(path: Path, what: str, name: str, known: Iterable[str]) -> Problem:
    return Problem(path, f"unknown {what} `{name}`; {nearest(name, known)}")
