"""What methods, factors, designs and comparisons must obey before a cell is made: names, rows, and size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod

from assay.study.design import left_out, main_factor
from assay.study.methods import method_problems
from assay.study.nesting import NO_LEVEL, below, parents_first
from assay.study.schema import Cumulative, LeaveOneOut, OneAtATime, Study
from assay.study.source import KeyPath, StudyProblem, nearest

__all__ = ["reference_problems"]

MAX_TRIALS = 1_000_000
_RESERVED = "override"  # the one key of a row that is no factor


def reference_problems(study: Study) -> list[StudyProblem]:
    """No method, names of factors and levels that the study does not define, and rows that lack some."""
    found = list(_nested_problems(study))  # the rules below walk the nesting
    found = found or list(_design_problems(study)) or list(_too_many_trials(study))
    return [*method_problems(study), *found, *_comparison_problems(study)]


def _comparison_problems(study: Study) -> Iterator[StudyProblem]:
    for index, spec in enumerate(study.comparisons or ()):
        at: KeyPath = ("comparisons", index)
        if spec.factor not in study.factors:
            yield _unknown((*at, "factor"), "factor", spec.factor, study.factors)
            continue
        levels = study.factors[spec.factor]
        for key, level in (("from", spec.start), ("to", spec.end)):
            if level is not None and level not in levels:
                yield _unknown((*at, key), f"level of {spec.factor}", level, levels)
        if spec.start is not None and spec.start == spec.end:
            yield StudyProblem(at, f"a comparison has two levels, found `{spec.start}` twice")
        elif len(levels) < 2:
            yield StudyProblem(at, f"a comparison needs two levels, `{spec.factor}` has one")


def _nested_problems(study: Study) -> Iterator[StudyProblem]:
    if _RESERVED in study.factors:
        message = f"`{_RESERVED}` is what a row sets beside its levels: give the factor another name"
        yield StudyProblem(("factors", _RESERVED), message)
    for factor, parents in study.nested.items():
        at: KeyPath = ("nested", factor)
        if factor not in study.factors:
            yield _unknown(at, "factor", factor, study.factors)
        if not parents:
            yield StudyProblem(
                at, "a sub-factor names its parent and the level that it belongs to: `{crf: on}`"
            )
        yield from _named_problems(study, parents, at)
    if not set(study.nested) <= set(study.factors):
        return
    order = parents_first({factor: study.nested.get(factor, {}) for factor in study.factors})
    circle = [factor for factor in study.nested if factor not in order]
    if circle and all(parent in study.factors for f in circle for parent in study.nested[f]):
        yield StudyProblem(("nested", circle[0]), f"factors are nested in a circle: {', '.join(circle)}")


def _design_problems(study: Study) -> Iterator[StudyProblem]:
    design = study.design
    if design is None:
        if study.factors:
            message = (
                "a study with factors says which combinations are trained: `design: {full: all}`, "
                "`{rows: [...]}`, `{one_at_a_time: {base: {...}}}`, `{leave_one_out: {whole: {...}}}` or "
                "`{cumulative: {base: {...}, add: [...]}}`"
            )
            yield StudyProblem(("design",), message)
        return
    if not study.factors:
        yield StudyProblem(("design",), "a design combines levels, and the study has no `factors`")
        return
    if design.rows is not None:
        if not design.rows:
            yield StudyProblem(("design", "rows"), "a design has at least one row")
        for index, row in enumerate(design.rows):
            yield from _row_problems(study, row.levels, ("design", "rows", index))
    elif design.varied is not None:
        yield from _varied_problems(study, design.varied)


def _varied_problems(study: Study, design: OneAtATime | LeaveOneOut | Cumulative) -> Iterator[StudyProblem]:
    way, key = {
        OneAtATime: ("one_at_a_time", "base"),
        LeaveOneOut: ("leave_one_out", "whole"),
        Cumulative: ("cumulative", "base"),
    }[type(design)]
    at: KeyPath = ("design", way)
    start = design.whole if isinstance(design, LeaveOneOut) else design.base
    for factor in (factor for factor in start if factor in design.across):
        yield StudyProblem(
            (*at, "across", factor), f"`{factor}` is in `{key}` too: it is either varied or crossed"
        )
    across = list(_named_problems(study, design.across, (*at, "across")))
    chosen = {**{factor: (level,) for factor, level in start.items()}, **design.across}
    found = across or list(_row_problems(study, chosen, (*at, key)))
    if not found and isinstance(design, LeaveOneOut):
        found = list(_left_out_problems(study, design, at))
    if not found and isinstance(design, Cumulative):
        found = list(_step_problems(study, design, at))
    yield from found


def _left_out_problems(study: Study, design: LeaveOneOut, at: KeyPath) -> Iterator[StudyProblem]:
    for factor, level in design.without.items():
        place = (*at, "without", factor)
        if factor not in design.whole:
            yield _unknown(place, "factor of the whole", factor, design.whole)
        elif level == design.whole[factor]:
            yield StudyProblem(place, f"`{level}` is the level of the whole: leaving out is another one")
    yield from _named_problems(study, {f: (level,) for f, level in design.without.items()}, (*at, "without"))
    for factor in design.whole:
        if left_out(study, design, factor) is None:
            levels = ", ".join(study.factors[factor])
            message = (
                f"say which level of {factor} ({levels}) means that it is left out: `without: "
                f"{{{factor}: ...}}`; or keep it: `across: {{{factor}: {design.whole[factor]}}}`"
            )
            yield StudyProblem((*at, "whole", factor), message)


def _step_problems(study: Study, design: Cumulative, at: KeyPath) -> Iterator[StudyProblem]:
    state = dict(design.base)
    seen = {factor: {level} for factor, level in state.items()}
    for index, step in enumerate(design.add):
        place: KeyPath = (*at, "add", index)
        unknown = list(_named_problems(study, {f: (level,) for f, level in step.items()}, place))
        yield from unknown
        if unknown:
            return
        if not step:
            yield StudyProblem(place, "a step is a factor and its new level: `{stop: on}`")
            return
        factor = main_factor(study, step)
        if not set(step) <= {factor, *below(study.nested, factor)}:
            message = (
                f"a step changes one factor, found {', '.join(step)}: make it several steps, or one factor "
                "whose level is the bundle"
            )
            yield StudyProblem(place, message)
            return
        if factor not in state:
            yield StudyProblem(place, f"`{factor}` is not in the base: a step changes a factor that is")
            return
        if step[factor] in seen[factor]:
            message = f"{factor} was {step[factor]} before: each step adds something new"
            yield StudyProblem((*place, factor), message)
        state |= step
        for name, level in step.items():
            seen.setdefault(name, set()).add(level)
        state = {f: level for f, level in state.items() if f in step or f not in below(study.nested, factor)}
        chosen = {**{f: (level,) for f, level in state.items()}, **design.across}
        yield from _row_problems(study, chosen, place)


def _too_many_trials(study: Study) -> Iterator[StudyProblem]:
    """A few lines can ask for more combinations than memory holds: count before they are listed."""
    if study.design is None:
        return
    sizes = {factor: len(levels) for factor, levels in study.factors.items()}
    if study.design.rows is not None:
        cells = sum(prod(map(len, row.levels.values())) for row in study.design.rows)
    elif study.design.varied is None:
        cells = prod(sizes.values())
    else:
        design = study.design.varied
        start = design.whole if isinstance(design, LeaveOneOut) else design.base
        alone = len(design.add) if isinstance(design, Cumulative) else sum(sizes[f] - 1 for f in start)
        free = [f for f in study.factors if f not in start and f not in design.across]
        cells = prod(map(len, design.across.values())) * (1 + alone) * prod(sizes[f] for f in free)
    trials = cells * len(study.repeats.seeds) * max(1, len(study.repeats.folds))
    if trials > MAX_TRIALS:
        up_to = "up to " if study.nested else ""  # where a sub-factor does not apply, there are fewer
        message = (
            f"a study has at most {MAX_TRIALS:,} trials, found {up_to}{trials:,}: {up_to}{cells:,} cells. "
            "Divide it"
        )
        yield StudyProblem(("design",), message)


def _row_problems(study: Study, row: Mapping[str, Sequence[str]], at: KeyPath) -> Iterator[StudyProblem]:
    """Unknown names, factors that apply and have no level, and levels of factors that never apply."""
    unknown = list(_named_problems(study, row, at))
    yield from unknown
    if unknown:
        return
    possible: dict[str, set[str]] = {}
    missing: list[str] = []
    for factor in parents_first({name: study.nested.get(name, {}) for name in study.factors}):
        needed = study.nested.get(factor, {})
        may = all(not possible[parent].isdisjoint(levels) for parent, levels in needed.items())
        if may and factor not in row:
            missing.append(factor)
        elif not may and factor in row:
            parents = " and ".join(f"{p} {' or '.join(levels)}" for p, levels in needed.items())
            message = f"{factor} applies with {parents} only, which is not the case here: leave it out"
            yield StudyProblem((*at, factor), message)
        possible[factor] = {*row.get(factor, ()), NO_LEVEL} if needed else set(row.get(factor, ()))
        if not may:
            possible[factor] = {NO_LEVEL}
    if missing:
        named = ", ".join(factor for factor in study.factors if factor in missing)
        yield StudyProblem(at, f"a cell has a level of every factor; missing: {named}")


def _named_problems(study: Study, chosen: Mapping[str, Sequence[str]], at: KeyPath) -> Iterator[StudyProblem]:
    for factor, levels in chosen.items():
        if factor not in study.factors:
            yield _unknown((*at, factor), "factor", factor, study.factors)
            continue
        for level in levels:
            if level not in study.factors[factor]:
                yield _unknown((*at, factor), f"level of {factor}", level, study.factors[factor])


def _unknown(path: KeyPath, what: str, name: str, known: Iterable[str]) -> StudyProblem:
    return StudyProblem(path, f"unknown {what} `{name}`; {nearest(name, known)}")
