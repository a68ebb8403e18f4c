"""Rules that methods, factors, designs and comparisons obey before a cell is made: names, rows, and size."""

from __future__ import annotations

from collections.abc import Iterator

from assay.study.design import level_pairs
from assay.study.designs import DESIGNS
from assay.study.designs.base import named_problems, unknown
from assay.study.file.schema import Study
from assay.study.file.source import KeyPath, StudyProblem
from assay.study.settings.methods import method_problems
from assay.study.settings.nesting import parents_first

__all__ = ["reference_problems"]

MAX_TRIALS = 1_000_000
MAX_REPEATS = 10_000  # each has a split of its own, and every statistic reads all of them
_RESERVED = "override"  # the one key of a row that is no factor


def reference_problems(study: Study) -> list[StudyProblem]:
    """No method, names of factors and levels that the study does not define, and rows that lack some."""
    problems = list(_nested_problems(study))  # the rules below walk the nesting
    problems = problems or list(_design_problems(study)) or list(_too_many_trials(study))
    return [
        *_name_problems(study),
        *method_problems(study),
        *_repeat_problems(study),
        *problems,
        *_metric_problems(study),
        *_comparison_problems(study),
    ]


def _name_problems(study: Study) -> Iterator[StudyProblem]:
    if study.study.startswith("-"):
        message = f"a study's name starts with a letter, digit or _, found `{study.study}`: commands would "
        yield StudyProblem(("study",), f"{message}take it for an option")


def _repeat_problems(study: Study) -> Iterator[StudyProblem]:
    repeats = len(study.repeats.seeds) * max(1, len(study.repeats.folds))
    if repeats > MAX_REPEATS:
        message = f"a study has at most {MAX_REPEATS:,} repeats (seeds × folds), found {repeats:,}. Divide it"
        yield StudyProblem(("repeats",), message)


def _metric_problems(study: Study) -> Iterator[StudyProblem]:
    """Columns of a table, each once."""
    columns = {study.metrics.primary}
    for index, name in enumerate(study.metrics.report):
        if name in columns:
            message = f"each metric is one column, found `{name}` twice (`primary` is a column). Remove one"
            yield StudyProblem(("metrics", "report", index), message)
        columns.add(name)


def _comparison_problems(study: Study) -> Iterator[StudyProblem]:
    """Names that are unknown, and pairs of levels named twice: an answer would count twice in its family."""
    first: dict[tuple[str, frozenset[str]], int] = {}
    for index, spec in enumerate(study.comparisons or ()):
        at: KeyPath = ("comparisons", index)
        if spec.factor not in study.factors:
            yield unknown((*at, "factor"), "factor", spec.factor, study.factors)
            continue
        levels = study.factors[spec.factor]
        ends = {"from": spec.start, "to": spec.end}
        strange = {key: level for key, level in ends.items() if level is not None and level not in levels}
        for key, level in strange.items():
            yield unknown((*at, key), f"level of {spec.factor}", level, levels)
        if spec.start is not None and spec.start == spec.end:
            yield StudyProblem(at, f"a comparison has two levels, found `{spec.start}` twice")
        elif len(levels) < 2:
            yield StudyProblem(at, f"a comparison needs two levels, `{spec.factor}` has one")
        elif not strange:
            for pair in level_pairs(study, spec):
                other = first.setdefault((spec.factor, frozenset(pair)), index)
                if other != index:
                    message = (
                        f"{spec.factor}: {' → '.join(pair)} is compared in comparisons[{other}] too. Name "
                        "each pair of levels once, in one direction"
                    )
                    yield StudyProblem(at, message)
                    break


def _nested_problems(study: Study) -> Iterator[StudyProblem]:
    if _RESERVED in study.factors:
        message = f"`{_RESERVED}` is what a row sets beside its levels: give the factor another name"
        yield StudyProblem(("factors", _RESERVED), message)
    for factor, parents in study.nested.items():
        at: KeyPath = ("nested", factor)
        if factor not in study.factors:
            yield unknown(at, "factor", factor, study.factors)
        if not parents:
            yield StudyProblem(
                at, "a sub-factor names its parent and the level that it belongs to: `{crf: on}`"
            )
        yield from named_problems(study, parents, at)
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
            known = ", ".join(f"`{{{form.example}}}`" for form in DESIGNS.values())
            message = f"a study with factors says which combinations are trained, by a `design`: {known}"
            yield StudyProblem(("design",), message)
        return
    if not study.factors:
        yield StudyProblem(("design",), "a design combines levels, and the study has no `factors`")
        return
    yield from design.form.problems(study, design.block)


def _too_many_trials(study: Study) -> Iterator[StudyProblem]:
    """A few lines can ask for more combinations than memory holds: count before they are listed."""
    if study.design is None:
        return
    cells = study.design.form.size(study, study.design.block)
    trials = cells * len(study.repeats.seeds) * max(1, len(study.repeats.folds))
    if trials > MAX_TRIALS:
        up_to = "up to " if study.nested else ""  # where a sub-factor does not apply, there are fewer
        message = (
            f"a study has at most {MAX_TRIALS:,} trials, found {up_to}{trials:,}: {up_to}{cells:,} cells. "
            "Divide it"
        )
        yield StudyProblem(("design",), message)
