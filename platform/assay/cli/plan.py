"""`assay plan`: every trial of a study before anything trains, and the time that it takes."""

from __future__ import annotations

import math
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

import typer

from assay.api.planning import read_plan, read_plan_and_promises
from assay.cli.options import DEFAULT_CACHE, DEFAULT_STORAGE, Cache, Data, Storage, StudyFile
from assay.cli.output import AsJson, answers, console, duration, text_table
from trainables.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from assay.analysis.names import StudyNames
    from assay.forecast.forecast import Forecast
    from assay.forecast.timing import Machine
    from assay.report.answers.plans import ExpectedTrainings, PlanAnswer, PlannedComparison, SharedStage
    from assay.report.page.terminal import FittedTable
    from assay.statistics.families import ComparisonResult
    from assay.storage import Store
    from assay.storage.record import Record
    from assay.study import Plan, SearchPlan
    from assay.study.planning.repeats import Repeat

__all__ = [
    "answer_of_plan",
    "expected_of",
    "format_diff",
    "format_expected",
    "format_truth",
    "known_records",
    "make_forecast",
    "plan",
    "show_forecast",
    "this_machine",
]


_LISTED, _LISTED_ON_SCREEN = 60, 12  # trials; a longer plan is shown variant by variant
_VARIANTS_ON_SCREEN, _COMPARISONS_ON_SCREEN = (20, 10), (10, 5)  # in a line each, and below their names
_DIFF = "differs from the base in"  # title of a column

NoData = Annotated[
    bool, typer.Option("--no-data", help="Do not open the data: ids and numbers of images stay unknown.")
]
Trials = Annotated[
    Literal["auto", "all", "none"],
    typer.Option(
        "--trials",
        metavar="auto|all|none",
        help="Which trials to list. auto lists up to 60 (12 on a terminal), of more the variants.",
    ),
]


WithForecast = Annotated[
    bool,
    typer.Option(
        "--forecast",
        help="Time the first steps of each kind of trial, and say hours and memory (a minute or so).",
    ),
]
Effect = Annotated[
    float | None,
    typer.Option(
        "--effect",
        help="Of a study that decides: the true difference for which to expect trainings, in units of the "
        "primary metric.",
        show_default="`resolve`, and none",
    ),
]


def plan(
    study: StudyFile,
    *,
    data: Data = None,
    no_data: NoData = False,
    trials: Trials = "auto",
    forecast: WithForecast = False,
    effect: Effect = None,
    as_json: AsJson = False,
    storage: Storage = DEFAULT_STORAGE,
    cache: Cache = DEFAULT_CACHE,
) -> None:
    """Show every trial of a study: variant, repeat, what differs from the base, and what is done already.

    Of a search: the budget, the space, and the points drawn so far.

    Trains nothing and writes no results; it fills the cache (unpacked archives, images made on the spot).
    With `--forecast` one trial of each shape trains for ten seconds; the study keeps the forecast.
    Exit code 0: the study is sound, 2: it is refused.
    """
    from assay.cli.live import LiveView
    from assay.storage import Store
    from assay.storage.search_points import with_points

    if forecast and no_data:
        raise InputError(
            "--forecast times real training steps and needs the data, found --no-data beside "
            "it. Leave one out."
        )
    if effect is not None and not math.isfinite(effect):
        raise InputError(f"--effect is a difference in the primary metric, found {effect:g}. Name a number.")
    start = time.monotonic()
    with LiveView(console(stderr=True), start=start) as view:
        promises: list[str] = []
        if no_data:
            planned = read_plan(study, data=data, cache=cache, with_data=False, say=view.message)
        else:
            planned, promises = read_plan_and_promises(study, data=data, cache=cache, say=view.message)
    if effect is not None and not planned.study.repeats.decide:
        raise InputError(
            f"--effect asks how many trainings a study with `repeats.decide` will take, found {effect:g} and "
            "a study without. All of its repeats train: leave --effect out."
        )
    store = Store.open(storage)
    if not no_data:
        planned = with_points(planned, store)
    records = {} if no_data else known_records(planned, store)

    # On a screen fewer trials are listed one by one than in a file, before variants stand for them.
    most = _LISTED_ON_SCREEN if sys.stdout.isatty() else _LISTED
    listed = trials == "all" or (trials == "auto" and (as_json or len(planned.trials) <= most))
    answer = answer_of_plan(
        planned, store, records, known=not no_data, listed=listed, promises=promises, effect=effect
    )

    # The plan is on the screen before a forecast trains for a while.
    if not as_json:
        _show(planned, records, answer, trials)
    timed = None
    if forecast:
        timed = make_forecast(planned, store, data, cache, start)
        show_forecast(timed, planned.study.resources.cpus)
    if as_json:
        answers().give(answer.with_forecast(timed))


def known_records(planned: Plan, store: Store) -> dict[str, Record]:
    """Records of a plan's trials."""
    return store.records({trial.id for trial in planned.trials} & set(store.trials()))


def answer_of_plan(
    planned: Plan,
    store: Store,
    records: Mapping[str, Record],
    *,
    known: bool,
    listed: bool,
    promises: Sequence[str] = (),
    effect: float | None = None,
) -> PlanAnswer:
    """The answer for a plan, with what the storage knows of it; arguments as `plan_answer` takes them."""
    from assay.report.answers.plans import plan_answer, stage_rows
    from assay.storage.stage_store import made_stages
    from assay.study.design import format_design
    from assay.study.planning.resolution_limit import format_resolution_limit, resolution_warnings
    from assay.study.planning.stage_graph import stage_graph
    from trainables.data.inspect.findings import summarise

    evaluated = _Evaluated.of(planned, store, records) if known else _Evaluated(0, 0, 0)
    stages, several = stage_graph(planned.trials), len(planned.resolution_limits) > 1
    return plan_answer(
        planned,
        records,
        known=known,
        listed=listed,
        stages=stage_rows(stages, made_stages(store, stages) if known and stages else {}),
        expected=expected_of(planned, records, store, effect),
        design=format_design(planned.study),
        resolution_limits=[
            f"{format_resolution_limit(each.limit)}{f' ({summarise(each.cells)})' if several else ''}"
            for each in planned.resolution_limits
        ],
        promises=promises,
        warnings=[
            *planned.warnings,
            *resolution_warnings(planned.resolution_limits),
            *_worthless_points(planned, records),
            *evaluated.warnings(planned),
        ],
        evaluations_done=evaluated.done,
        evaluations_lost=evaluated.lost,
    )


class _Evaluated(NamedTuple):
    """Evaluations of a plan's trials under other conditions."""

    done: int
    lost: int  # of trials that have ended, and whose model is gone or never was
    without_model: int  # trials among them that finished

    @classmethod
    def of(cls, planned: Plan, store: Store, records: Mapping[str, Record]) -> Self:
        from assay.storage.conditions import lacking_conditions, without_model

        conditions = len(planned.study.conditions)
        if not conditions:
            return cls(0, 0, 0)
        lacking = lacking_conditions(store, planned.study.conditions, records.values())
        gone = without_model(records[trial] for trial in lacking)
        finished = sum(record.status == "finished" for record in records.values())
        lost = sum(len(lacking[record.id]) for record in gone) + (len(records) - finished) * conditions
        return cls(finished * conditions - sum(map(len, lacking.values())), lost, len(gone))

    def warnings(self, planned: Plan) -> Iterator[str]:
        """What cannot be evaluated, and what to do."""
        from assay.study.names import counted

        if self.without_model:
            yield (
                f"{counted(self.without_model, 'stored trial')} cannot be evaluated under conditions of "
                "`test_under`: the models were not kept. Set `keep: {models: all}` and remove the trials' "
                "folders from the storage: `assay run` trains them again"
            )
        elif planned.study.conditions and planned.study.keep.models != "all":
            yield (
                f"`keep: {{models: {planned.study.keep.models}}}` drops models after the run: a condition "
                "that is named later can then not be evaluated. `keep: {models: all}` keeps them"
            )


def _worthless_points(planned: Plan, records: Mapping[str, Record]) -> Iterator[str]:
    """Warn of points that ended well and have no value: another study trained them and measured no cost."""
    from assay.study import SearchPlan

    if not isinstance(planned, SearchPlan) or not planned.points:
        return
    from assay.analysis.results.search_results import SearchResults
    from assay.storage.search_points import MEASURED_ANEW
    from assay.study.names import counted
    from trainables.data.inspect.findings import summarise

    results = SearchResults(planned, records)
    ids = {point.name: ids for searched in planned.searched for point, ids in planned.points_of(searched)}
    reasons = [
        f"{each.point.name}: {each.reason}"
        for of_cell in results.evaluated_points.values()
        for each in of_cell
        if each.status == "failed"
        and ids[each.point.name]
        and all(records[id_].status == "finished" for id_ in ids[each.point.name])
    ]
    if reasons:
        yield (
            f"{counted(len(reasons), 'point')} ended without a value, and so failed: "
            f"{summarise(reasons, separator='; ')}. {MEASURED_ANEW}"
        )


def _show(planned: Plan, records: Mapping[str, Record], answer: PlanAnswer, trials: str) -> None:
    from assay.report.page.inline import visible

    parts: list[RenderableType] = []
    if planned.study.question:
        parts.append(f"{planned.study.study}: {planned.study.question}")
    parts += [f"design: {answer.design}", *_parts(planned, records, answer, trials)]
    if answer.stages:
        parts.append(_stage_table(answer.stages))
    parts += [
        *_summary(planned, answer),
        *format_expected(answer.expected),
        *answer.resolution_limits,
        *answer.promises,
    ]
    parts += [f"warning: {warning}" for warning in answer.warnings]
    out = console()
    for part in parts:
        out.print(visible(part) if isinstance(part, str) else part)


def _parts(
    planned: Plan, records: Mapping[str, Record], answer: PlanAnswer, trials: str
) -> Iterator[RenderableType]:
    """The space of a search, what is trained, and what is compared."""
    from assay.analysis.names import plan_names
    from assay.study import SearchPlan

    short, names = sys.stdout.isatty() and trials == "auto", plan_names(planned)
    if isinstance(planned, SearchPlan):
        yield _space_table(planned)
    if planned.size and not planned.trials:
        yield "no point is drawn yet"
    elif answer.trials:
        yield _trial_table(answer, names)
    else:
        yield _cell_table(answer, names, _VARIANTS_ON_SCREEN if short else None)
        if trials == "auto":
            yield "`--trials all` lists the trials one by one."
    if answer.comparisons:
        until = _until_negligible(planned, records)
        yield _comparison_table(answer, until, names, _COMPARISONS_ON_SCREEN if short else None)
        if until:
            yield (
                "negligible at: repeats at which a comparison without a difference is called negligible with "
                f"80 % chance (within ± {planned.study.resolve:g}; asked: can go), at the spread seen"
            )
        yield from format_claims(answer.comparisons, names)
    elif planned.comparisons:
        yield "compares nothing: of several objectives no point is best"
    effects = list(_main_effects(planned))
    yield from effects
    if (
        not planned.comparisons
        and not effects
        and len(planned.cells) > 1
        and not isinstance(planned, SearchPlan)
    ):
        yield "compares nothing: a study says what in `comparisons`"


def _trial_table(answer: PlanAnswer, names: StudyNames) -> FittedTable:
    from assay.report.page.terminal import FittedTable

    differs = {cell.cell: format_diff(cell.differs) for cell in answer.cells}
    rows = [
        (
            trial.id or "unknown",
            names.variant(trial.cell),
            str(trial.seed),
            "–" if trial.fold is None else str(trial.fold),
            differs[trial.cell],
            trial.state or "unknown",
        )
        for trial in answer.trials
    ]
    titles = ("id", "variant", "seed", "fold", _DIFF, "state")
    return FittedTable.of(titles, rows, right=("seed", "fold", "state"), spare=(_DIFF,))


def _cell_table(answer: PlanAnswer, names: StudyNames, most: tuple[int, int] | None) -> FittedTable:
    from assay.report.page.terminal import FittedTable

    rows = [
        (
            names.variant(cell.cell),
            str(cell.trials),
            "–" if cell.done is None else str(cell.done),
            format_diff(cell.differs),
        )
        for cell in answer.cells
    ]
    titles = ("variant", "trials", "done", _DIFF)
    right = ("trials", "done")
    return FittedTable.of(titles, rows, right=right, spare=(_DIFF,), most=most, what="variants")


def _until_negligible(planned: Plan, records: Mapping[str, Record]) -> dict[str, str]:
    """Name of a comparison → ``8``, ``6–9`` or ``> 50`` repeats; empty without records or ``resolve``."""
    from assay.study import SearchPlan

    if planned.study.resolve is None or not records or isinstance(planned, SearchPlan):
        return {}
    from assay.analysis.results.results import StudyResults
    from assay.analysis.study_analysis import so_far
    from assay.statistics.wording import negligible_at_text

    comparisons = so_far(StudyResults(planned, records)).comparisons
    claim = comparisons[0].claim if comparisons else None
    by_name: dict[str, list[ComparisonResult]] = {}
    for result in comparisons:
        if result.claim == claim and result.n > 2:
            by_name.setdefault(result.comparison, []).append(result)
    return {name: negligible_at_text(results) for name, results in by_name.items()}


def _comparison_table(
    answer: PlanAnswer, until: Mapping[str, str], names: StudyNames, most: tuple[int, int] | None
) -> FittedTable:
    """Comparisons with their pairs, the repeats of these, and all that changes with the level."""
    from assay.report.page.terminal import FittedTable

    rows: list[tuple[str, ...]] = []
    for row in answer.comparisons:
        changes = [*row.changes, *(f"{path}, allowed: {why}" for path, why in row.allowed.items())]
        n = str(row.n_most) if row.n_least == row.n_most else f"{row.n_least}–{row.n_most}"
        at = (until.get(row.comparison, "–"),) if until else ()
        step = names.step(row.comparison)
        name = f"{step}, can it go?" if row.ask == "can go" else step
        rows.append((name, str(len(row.pairs)), n, *at, "; ".join(changes)))
    titles = ("comparison", "pairs", "n", *(("negligible at",) if until else ()), "changes")
    right = ("pairs", "n", "negligible at")
    return FittedTable.of(titles, rows, right=right, spare=("changes",), most=most, what="comparisons")


def format_claims(comparisons: Sequence[PlannedComparison], names: StudyNames) -> Iterator[str]:
    """``claim over data sets: 4 levels of surface. To be significant … takes 6, …: 2 data sets more``"""
    from assay.statistics.paired import ALPHA, enough_repeats, smallest_p
    from assay.statistics.wording import p_text
    from assay.study.names import counted

    claimed: dict[tuple[str, int], list[str]] = {}
    for row in comparisons:
        if row.over is not None:
            claimed.setdefault((row.over, len(row.data_sets)), []).append(names.step(row.comparison))
    enough = enough_repeats()
    for (over, number), steps in claimed.items():
        which = "" if len(claimed) == 1 else f" ({'; '.join(steps)})"
        lacking = f"{counted(enough - number, 'data set')} more" if number < enough else "enough"
        yield (
            f"claim over data sets{which}: {number} levels of {over}. To be significant (p ≤ "
            f"{p_text(ALPHA)}) takes {enough}, all of which go one way (p = {p_text(smallest_p(enough))}): "
            f"{lacking}"
        )


def _main_effects(planned: Plan) -> Iterator[RenderableType]:
    """Main effects of an orthogonal design, what is mixed up with what, and the design to go on with."""
    from assay.study import SearchPlan
    from assay.study.orthogonal import orthogonal_levels, read_aliases

    cells, design = [cell.levels for cell in planned.cells], planned.study.design
    factors = orthogonal_levels(cells)
    if not factors or design is None or isinstance(planned, SearchPlan):
        return
    yield f"main effects: {', '.join(factors)}; each from all {len(cells)} variants"
    aliases = read_aliases(cells)
    if aliases is None:
        return
    if aliases.clear:
        yield "no main effect is mixed up with an interaction of two factors"
    if aliases.rows:
        yield text_table(("effect", "mixed up with"), list(aliases.rows.items()))
    follow_up = design.form.follow_up(planned.study, design.block, next(iter(factors)))
    if follow_up:
        yield follow_up


def _stage_table(stages: Sequence[SharedStage]) -> Table:
    """Steps that trials share: how many there are, of how many trials, and how many are made."""
    several = len({row.trainable for row in stages}) > 1  # whose stages may have one name
    rows = [
        (
            f"{row.trainable}: {row.stage}" if several else row.stage,
            ", ".join(row.reads) or "–",
            *map(str, (row.to_make, row.shared, row.made, row.trials)),
        )
        for row in stages
    ]
    numbers = ("to make", "shared", "made", "used by trials")
    return text_table(("stage", "reads", *numbers), rows, right=numbers)


def format_diff(diff: Mapping[str, tuple[Any, Any]]) -> str:
    """`config.lr 1.0 → 0.01, supervision full → weak`; a dash when there is none."""
    from assay.study.planning.compare import format_value

    return (
        ", ".join(f"{path} {format_value(old)} → {format_value(new)}" for path, (old, new) in diff.items())
        or "–"
    )


def _summary(planned: Plan, answer: PlanAnswer) -> list[str]:
    from assay.study import SearchPlan
    from assay.study.names import counted

    study = planned.study
    total = planned.size
    repeats = _format_repeats(len(study.repeats.seeds), len(study.repeats.folds))
    each = len(study.repeats.seeds) * max(1, len(study.repeats.folds))
    times = "×" if total == len(planned.cells) * each else "× up to"  # a data set may have no folds
    trials = f"{counted(len(planned.cells), 'variant')} {times} {repeats}"
    if isinstance(planned, SearchPlan):
        trials = _format_budget(planned)
    pending = total > len(planned.trials)
    at_most = "at most " if pending or study.repeats.decide else ""
    most = "at most " if pending else ""  # a winner may be trained already
    state = f"{answer.done} done, {most}{answer.to_train} to train"
    if answer.done is None:
        state = "how many are done is unknown without data"
    elif study.repeats.decide and answer.to_train:
        state += " before the next verdicts"
    # A study that decides trains fewest where its first look settles all.
    looks: list[str] = []
    if decide := study.repeats.decide:
        most_trials = len(planned.trials)
        fewest = most_trials * decide[0] // decide[-1]
        seeds = ", ".join(map(str, decide))
        looks = [f"verdicts come at {seeds} seeds: {fewest} to {most_trials} trainings in all"]
    kept = "how much it keeps is unknown: the trainable does not count its weights"
    if planned.gigabytes is not None:
        gigabytes = max(0.01, planned.gigabytes)
        kept = f"keeps about {gigabytes:.{'0f' if gigabytes >= 10 else '2g'}} GB"
    need = study.resources
    gpus = f" and {need.gpus:g} GPU" if need.gpus else ""
    return [
        *(
            f"data: {m.reader}, {m.images} images, {m.defective} defective"
            + (f", in {counted(m.tiles, 'tile')}" if m.tiles else "")
            + (f", {m.pixels}" if m.pixels != "8 bits" else "")
            for m in planned.manifests.values()
        ),
        f"{trials} = {at_most}{counted(total, 'trial')}; {state}",
        *looks,
        *_conditions_line(planned, answer),
        f"a trial takes {counted(need.workers, 'worker')} with {counted(need.cpus, 'CPU core')}{gpus} "
        f"each; pack: {need.pack}",
        f"{kept} (models: {study.keep.models}, probes: {study.keep.probes})",
    ]


def _conditions_line(planned: Plan, answer: PlanAnswer) -> Iterator[str]:
    """`tested under 6 conditions: 144 evaluations, 24 to make; they train nothing`."""
    from assay.study.names import counted

    if conditions := planned.study.conditions:
        left = "" if answer.evaluations_left is None else f", {answer.evaluations_left} to make"
        evaluations = counted(answer.evaluations, "evaluation")
        yield f"tested under {counted(len(conditions), 'condition')}: {evaluations}{left}; they train nothing"


def _format_repeats(seeds: int, folds: int) -> str:
    from assay.study.names import counted

    return counted(seeds, "seed") + (f" × {counted(folds, 'fold')}" if folds else "")


def _format_budget(planned: SearchPlan) -> str:
    """`60 points × 2 seeds (12 of 60 drawn) + 3 best × 5 seeds`, of several cells with `in 2 cells each`."""
    from assay.study.names import counted
    from assay.study.search.points import drawn_text

    study = planned.study
    cells, first = len(planned.searched), planned.searched[0]
    drawn = f" ({drawn_text(len(planned.points), planned.budget * cells)})"
    points = max(planned.budget, *planned.drawn.values())
    where = f" in {cells} {'searches' if planned.search.nested else 'cells'} each" if cells > 1 else ""
    text = f"{counted(points, 'point')} × {_distinct(first.repeats)}{where}{drawn}"
    if study.replicate is not None:
        best = f"{study.replicate.best} best{' and the start points' if study.replicate.start else ''}"
        text += f" + {best} × {_distinct(first.fresh)}{where}"
    return text


def _distinct(repeats: Sequence[Repeat]) -> str:
    """`2 seeds × 3 folds`; one fold goes without saying."""
    folds = {repeat.fold for repeat in repeats}
    return _format_repeats(len({repeat.seed for repeat in repeats}), len(folds) if len(folds) > 1 else 0)


def _space_table(planned: SearchPlan) -> Table:
    from assay.study.planning.compare import format_value
    from assay.study.search.space import format_parameter

    rows = [
        (
            path,
            format_parameter(parameter),
            ", ".join(f"{other} is {format_value(value)}" for other, value in parameter.when.items()) or "–",
        )
        for path, parameter in planned.study.space.items()
    ]
    return text_table(("parameter", "drawn from", "where"), rows)


# Time: trainings until it is decided, hours, memory ----------------------------------------------------


_CELLS = 3  # named of a shape that has more
_WORTH_SAYING = 0.9  # of a study's hours: timings differ by a tenth


def make_forecast(plan: Plan, store: Store, data: Path | None, cache: Path, start: float) -> Forecast:
    """Make the forecast, and keep it beside the study's results; ``start``: of the command's clock."""
    from assay.cli.live import LiveView
    from assay.forecast.forecast import write_forecast
    from assay.forecast.timing import forecast_study

    with LiveView(console(stderr=True), start=start) as view:
        forecast = forecast_study(plan, store, this_machine(plan, data, cache), view.message)
    write_forecast(store, plan.study.study, forecast)
    return forecast


def show_forecast(forecast: Forecast, threads: int) -> None:
    """Print a forecast of trials that ask for so many threads of a CPU."""
    out = console()
    if not any(shape.missing for shape in forecast.shapes):
        out.print("forecast: nothing is left to train")
        return
    out.print(_forecast_table(forecast))
    for reason in forecast.untimed:
        out.print(f"not timed: stages after one that was cut short ({reason})")
    out.print(
        f"forecast: {duration(forecast.hours * 3600)} here, {forecast.slots} at a time "
        f"({duration(forecast.trial_hours * 3600)} one after the other), "
        "and ten seconds or so to start a worker"
    )

    # One thread a trial and more trials at once may be sooner done. It is mentioned where the difference is
    # worth a change.
    alone = forecast.with_one_thread(threads)
    if alone is not None and alone.hours < _WORTH_SAYING * forecast.hours:
        out.print(
            f"with resources: {{cpus: 1}} {duration(alone.hours * 3600)}, {alone.slots} at a time: with one "
            f"thread a trial takes {forecast.one_thread:.1f} times as long"
        )
    if forecast.slots > 1:
        out.print("trials beside each other share memory and caches: they may take longer than one alone")


def format_truth(store: Store, plan: Plan) -> str | None:
    """``8 finished trials took 2 h 10 min …, the forecast said 2 h``; None where there was no forecast."""
    from assay.forecast.forecast import read_forecast
    from assay.study.names import counted

    forecast = read_forecast(store, plan.study)
    if forecast is None:
        return None
    of_cell = {cell: shape.seconds for shape in forecast.shapes for cell in shape.cells}
    cell_of = {trial.id: trial.cell for trial in plan.trials}
    records = store.records(cell_of).values()

    # Compared are only trials that finished, of cells that were timed: one that failed early would make the
    # forecast look too long.
    known = [record for record in records if record.status == "finished" and cell_of[record.id] in of_cell]
    if not known:
        return None
    expected = sum(of_cell[cell_of[record.id]] for record in known)
    took = duration(sum(record.seconds for record in known))
    trials = counted(len(known), "finished trial")
    return f"{trials} took {took} one after the other, the forecast said {duration(expected)}"


def this_machine(plan: Plan, data: Path | None, cache: Path) -> Machine:
    """Describe this machine as the place of a study.

    Raises:
        InputError: If it lacks the GPUs that a trial asks for.
    """
    import torch

    from assay.forecast.timing import Machine

    need = plan.study.resources
    cores = len(os.sched_getaffinity(0))
    at_once = cores // (need.workers * need.cpus)
    if need.gpus:
        at_once = min(at_once, int(torch.cuda.device_count() / (need.workers * need.gpus)))
        if not at_once:
            raise InputError(
                f"a forecast is made where the study trains: it asks for {need.workers} worker(s) with "
                f"{need.gpus:g} GPU(s) each, and this machine has {torch.cuda.device_count()}. "
                "Make it there, or set resources.gpus: 0."
            )
    return Machine(data, cache, torch.device("cuda:0" if need.gpus else "cpu"), max(1, at_once))


def _forecast_table(forecast: Forecast) -> Table:
    from assay.study.names import counted
    from trainables.data.inspect.findings import summarise

    rows = [
        (
            summarise(shape.cells, _CELLS),
            f"{shape.missing} of {shape.trials}",
            duration(shape.seconds),
            f"{shape.memory_mb / 1024:.1f} GB",
            counted(shape.seen, "finished trial" if shape.source == "finished trials" else "step"),
        )
        for shape in forecast.shapes
    ]
    rows += [
        (f"stage {stage.name}", str(stage.missing), duration(stage.seconds), "–", "cut short, reckoned up")
        for stage in forecast.stages
    ]
    return text_table(("trials like", "remaining", "each takes", "memory", "known from"), rows)


def format_expected(expectations: Sequence[ExpectedTrainings]) -> Iterator[str]:
    """``expect 63 of 140 trainings (56–84 in 8 of 10 studies) where comparisons differ by 0.01 …``"""
    for expected in expectations:
        effect = expected.effect
        where = f"every comparison differs by {effect:g}" if effect else "nothing differs"
        spread = f"{expected.low}–{expected.high}" if expected.low < expected.high else str(expected.low)
        yield (
            f"where {where}: expect {expected.mean:.0f} of {expected.most} trainings ({spread} in "
            f"8 of 10 studies), {100 * expected.settled:.0f} % of comparisons settled"
        )
    for expected in expectations[:1]:
        yield f"spread of a difference: {expected.sd:.2g}, {expected.sd_source}"


def expected_of(
    planned: Plan, records: Mapping[str, Record], store: Store, effect: float | None
) -> list[ExpectedTrainings]:
    """Trainings that a study with `repeats.decide` will take; of any other study none.

    Args:
        planned: Of any study.
        records: Of its trials.
        store: Where other studies may know the spread.
        effect: True difference of every comparison; None: of `resolve`, and of nothing, until all is settled.
    """
    study = planned.study
    if not study.repeats.decide or study.resolve is None:
        return []
    from assay.analysis.results.reading import decisions_so_far

    decisions = decisions_so_far(planned, records)
    if effect is None and decisions is not None and decisions.over:
        return []  # nothing more trains
    from assay.report.answers.plans import ExpectedTrainings
    from assay.statistics.interim_looks import expected_trainings

    sd, source = _spread(planned, records, store)
    places = {cell.name: index for index, cell in enumerate(planned.cells)}
    pairs = {
        frozenset(pair): (places[pair[0]], places[pair[1]])
        for comparison in planned.comparisons
        for pair in comparison.pairs
    }
    asked = {
        frozenset(pair)
        for comparison in planned.comparisons
        if comparison.ask == "can go"
        for pair in comparison.pairs
    }
    can_go = [int(pair in asked) for pair in pairs]
    trials = Counter(trial.cell for trial in planned.trials)
    per_seed = [trials[name] // len(study.repeats.seeds) for name in places]
    looks, most = study.repeats.decide, len(planned.trials)
    expectations: list[ExpectedTrainings] = []

    # Where the user names no true difference, two are shown: the smallest that matters, and none at all.
    for size in (study.resolve, 0.0) if effect is None else (effect,):
        expected = expected_trainings(
            list(pairs.values()),
            per_seed,
            looks,
            effect=size,
            sd=sd,
            resolve=study.resolve,
            can_go=can_go,
        )
        facts = {"mean": expected.mean, "low": expected.low, "high": expected.high, "most": most}
        spread = {"effect": size, "settled": expected.settled, "sd": sd, "sd_source": source}
        expectations.append(ExpectedTrainings.model_validate({**facts, **spread}))
    return expectations


def _spread(planned: Plan, records: Mapping[str, Record], store: Store) -> tuple[float, str]:
    """Standard deviation of a comparison's differences, and the words for its source."""
    import numpy as np

    from assay.analysis.ledger import spread_seen
    from assay.analysis.results.results import StudyResults
    from assay.analysis.study_analysis import so_far

    # From the best source to the worst: this study's own repeats, those of other studies in the storage, and
    # at last an assumption, which is named as one.
    comparisons = so_far(StudyResults(planned, records)).comparisons if records else ()
    claim = comparisons[0].claim if comparisons else None  # the narrowest, which is the one that is decided
    seen = [np.var(r.differences, ddof=1) for r in comparisons if r.claim == claim and r.n > 2]
    if seen and sum(seen):
        return float(np.sqrt(np.mean(seen))), "as seen in this study so far"
    known = spread_seen(store, planned)
    if known is not None:
        return known[0], f"as seen over the seeds of {known[1]}"
    assert planned.study.resolve is not None, "the schema refuses `decide` without it"
    return planned.study.resolve, "assumed to be `resolve`: nothing was trained on these data yet"
