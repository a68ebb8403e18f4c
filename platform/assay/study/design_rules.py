"""Rules that methods, factors, designs and comparisons obey before a cell is made: names, rows, and size."""

from __future__ import annotations

from collections.abc import Iterator

from assay.study.design import data_factors, level_pairs
from assay.study.designs import DESIGNS
from assay.study.designs.base import named_problems, unknown
from assay.study.file.blocks import SAYS, Level
from assay.study.file.schema import ComparisonSpec, Study
from assay.study.file.source import KeyPath, StudyProblem
from assay.study.names import LEFT_OUT
from assay.study.settings.nesting import parents_first
from trainables.contract import TrainableConfig

__all__ = ["SHARED", "all_levels", "reference_problems"]

SHARED = tuple(TrainableConfig.model_fields)  # settings that every method has
MAX_TRIALS = 1_000_000
MAX_REPEATS = 10_000  # each has a split of its own, and every statistic reads all of them
_CAN_GO = "can go"
_RESERVED = "override"  # the one key of a row that is no factor


def reference_problems(study: Study) -> list[StudyProblem]:
    """Find methods, factors and levels that the study names and does not define, and rows that lack some."""
    problems = list(_nested_problems(study))  # the rules below walk the nesting
    problems = problems or list(_design_problems(study)) or list(_too_many_trials(study))
    return [
        *_name_problems(study),
        *_word_problems(study),
        *_method_problems(study),
        *_repeat_problems(study),
        *problems,
        *_metric_problems(study),
        *_comparison_problems(study),
    ]


def _method_problems(study: Study) -> Iterator[StudyProblem]:
    """Refuse a study that names no method at all, or a method's settings in a base that names none."""
    if study.trainable is not None:
        return
    if not any(layer.trainable for layer in all_levels(study)):
        message = "the key `trainable` is missing: name the method here, or in a level of every cell"
        yield StudyProblem(("trainable",), message)
        return
    for key in (key for key in study.config if key not in SHARED):
        message = (
            f"without a `trainable` beside it, `config` holds what every method has, {', '.join(SHARED)}; "
            f"found `{key}`. Set it where a level names the method"
        )
        yield StudyProblem(("config", key), message)


def all_levels(study: Study) -> list[Level]:
    """Collect all that may name a method beside the base: levels, and rows with settings of their own."""
    overrides = study.design.overrides if study.design else ()
    levels = [level for of_factor in study.factors.values() for level in of_factor.values()]
    return [*levels, *(override for _, override in overrides)]


def _name_problems(study: Study) -> Iterator[StudyProblem]:
    if study.study.startswith("-"):
        message = f"a study's name starts with a letter, digit or _, found `{study.study}`: commands would "
        yield StudyProblem(("study",), f"{message}take it for an option")


def _word_problems(study: Study) -> Iterator[StudyProblem]:
    first: dict[str, str] = {}
    for name, factor in study.factors.items():
        other = first.setdefault(factor.says.casefold(), name) if factor.says is not None else name
        if other != name:
            message = f"two factors do not have the same words, found `{factor.says}` of {other} too"
            yield StudyProblem(("factors", name, SAYS), message)


def _repeat_problems(study: Study) -> Iterator[StudyProblem]:
    repeats = len(study.repeats.seeds) * max(1, len(study.repeats.folds))
    if repeats > MAX_REPEATS:
        message = f"a study has at most {MAX_REPEATS:,} repeats (seeds × folds), found {repeats:,}. Divide it"
        yield StudyProblem(("repeats",), message)


def _metric_problems(study: Study) -> Iterator[StudyProblem]:
    """Refuse a metric that is named twice: each is one column of a table."""
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
            yield from _can_go_problems(study, spec, at)
            yield from _data_sets_problems(study, spec, at)
            for pair in level_pairs(study, spec):
                other = first.setdefault((spec.factor, frozenset(pair)), index)
                if other != index:
                    message = (
                        f"{spec.factor}: {' → '.join(pair)} is compared in comparisons[{other}] too. Name "
                        "each pair of levels once, in one direction"
                    )
                    if {spec.ask, (study.comparisons or ())[other].ask} == {"pays", _CAN_GO}:
                        message += ": `ask: can go` also asks whether it pays"
                    yield StudyProblem(at, message)
                    break


def _can_go_problems(study: Study, spec: ComparisonSpec, at: KeyPath) -> Iterator[StudyProblem]:
    """Refuse `can go` without a margin, or with the part that may go on the left."""
    if spec.ask != _CAN_GO:
        return
    if study.resolve is None:
        message = (
            "`ask: can go` asks whether dropping a part loses less than `resolve`, and the study has none. "
            "Name the smallest loss that matters, as in `resolve: 0.02`, or leave `ask` out"
        )
        yield StudyProblem((*at, "ask"), message)
    for start, end in level_pairs(study, spec):
        if end in LEFT_OUT and start not in LEFT_OUT:
            message = (
                "`ask: can go` asks whether the right level can be dropped for the left one, found "
                f"{spec.factor}: {start} → {end}. Turn it round: "
                f"`{{factor: {spec.factor}, from: {end}, to: {start}, ask: can go}}`"
            )
            yield StudyProblem(at, message)
            break


def _data_sets_problems(study: Study, spec: ComparisonSpec, at: KeyPath) -> Iterator[StudyProblem]:
    """Refuse a claim over data sets where nothing says which these are, or which repeats there will be."""
    if spec.claim is None:
        if spec.over is not None:
            message = (
                f"`over` names the data sets of a claim over them, found over: {spec.over} without one. Add "
                "`claim: data sets`, or leave `over` out"
            )
            yield StudyProblem((*at, "over"), message)
        return
    known = data_factors(study, spec.factor)
    if study.search is not None or study.repeats.decide:
        key = "repeats.decide" if study.search is None else "search"
        message = (
            f"a claim over data sets is about all of a study's planned repeats, found it beside `{key}`. "
            "Leave one of the two out"
        )
        yield StudyProblem((*at, "claim"), message)
    elif not known:
        message = (
            "`claim: data sets` needs a factor whose levels name data, found none beside "
            f"{spec.factor}. Add one, as in `surface: {{steel: {{data: {{path: steel}}}}, …}}`"
        )
        yield StudyProblem((*at, "claim"), message)
    elif spec.over is not None and spec.over not in study.factors:
        yield unknown((*at, "over"), "factor", spec.over, study.factors)
    elif spec.over is not None and spec.over not in known:
        message = (
            f"`over` is a factor whose levels name data, and not the one that is compared, found "
            f"{spec.over}. Name {' or '.join(known)}"
        )
        yield StudyProblem((*at, "over"), message)
    elif spec.over is None and len(known) > 1:
        message = (
            f"`claim: data sets` takes the levels of one factor for the data sets, found {len(known)} that "
            f"name data: {', '.join(known)}. Say which, as in `over: {known[0]}`"
        )
        yield StudyProblem((*at, "claim"), message)


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

    # An order with parents first has no place for a circle: what is missing from it is part of one.
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
    """Refuse more trials than memory holds, counted before they are listed: a few lines can ask for them."""
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
