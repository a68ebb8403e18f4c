"""The answer of `assay plan --json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, Field

from assay.report.answers.base import Answer, Change, Value, schema_name

if TYPE_CHECKING:
    from assay.forecast.forecast import Forecast
    from assay.storage.record import Record
    from assay.study import Plan
    from assay.study.planning.stage_graph import StageNode

__all__ = ["ExpectedTrainings", "PlanAnswer", "SharedStage", "plan_answer", "stage_rows"]


class PlannedData(BaseModel):
    """A data set of the study."""

    hash: str
    reader: str
    images: int
    defective: int
    with_mask: int
    folds: tuple[int, ...]


class PlannedCell(BaseModel):
    """A row of the table."""

    cell: str
    levels: dict[str, str]
    trainable: str
    revision: int
    differs: dict[str, Change] = Field(description="Setting → (value in the base, value here).")
    trials: int
    done: int | None = Field(description="null: the data were not opened.")


_State = Literal["planned", "finished", "diverged", "pruned", "failed"]


class PlannedTrial(BaseModel):
    """One training."""

    id: str | None = Field(description="null: the data were not opened.")
    cell: str
    seed: int
    fold: int | None
    state: _State | None = Field(description="null: the data were not opened.")


class PlannedComparison(BaseModel):
    """A level against another, in every pair of cells alike in all else."""

    comparison: str
    factor: str
    start: str
    end: str
    pairs: tuple[tuple[str, str], ...]
    n_least: int = Field(description="Repeats that both cells of a pair have, of the pair with the fewest.")
    n_most: int
    changes: tuple[str, ...]
    allowed: dict[str, str] = Field(description="Setting that differs besides → why the study allows it.")
    ask: str = Field(description="`can go`: also whether dropping `end` for `start` loses too little.")
    over: str | None = Field(
        default=None, description="The factor whose levels are the data sets of a claim over them."
    )
    data_sets: tuple[str, ...] = Field(
        default=(), description="Of such a claim: those on which both levels are trained."
    )


class SharedStage(BaseModel):
    """Steps of one kind that trials share."""

    stage: str
    trainable: str
    reads: tuple[str, ...]
    to_make: int
    shared: int = Field(description="Used by more than one trial.")
    made: int
    trials: int


class ExpectedTrainings(BaseModel):
    """Trainings of a study that decides, for one true difference of every comparison."""

    effect: float = Field(description="True difference, in units of the primary metric.")
    mean: float
    low: int = Field(description="8 of 10 studies take so many or more,")
    high: int = Field(description="and so many or fewer.")
    most: int
    settled: float = Field(description="Share of comparisons that are settled, 0..1.")
    sd: float = Field(description="Standard deviation of a difference.")
    sd_source: str


class ForecastShape(BaseModel):
    """Trials that cost the same."""

    cells: tuple[str, ...]
    trials: int
    missing: int
    seconds: float = Field(description="Of one trial.")
    memory_mb: float = Field(description="Peak of one worker, MiB.")
    source: str
    seen: int = Field(description="Steps that were timed, or trials that had finished.")


class ForecastStage(BaseModel):
    """A stage that trials share."""

    name: str
    missing: int
    seconds: float = Field(description="Of one.")


class ForecastAnswer(BaseModel):
    """Time that remains, on a machine like this one."""

    hours: float = Field(description="With `slots` trials at a time.")
    trial_hours: float = Field(description="One after the other.")
    slots: int
    shapes: tuple[ForecastShape, ...]
    stages: tuple[ForecastStage, ...]
    untimed: tuple[str, ...] = Field(description="Why stages could not be timed: they come on top.")
    one_thread: float | None = Field(
        description="Seconds of a trial with one thread over those with the threads it asks for; null: not "
        "timed."
    )


class PlanAnswer(Answer):
    """Every trial of a study before anything trains."""

    schema_: Literal["assay/plan/1"] = schema_name("assay/plan/1")
    study: str
    question: str
    hash: str = Field(description="Of what the study asks.")
    primary: str
    metrics: tuple[str, ...] = Field(description="The primary one first.")
    resolve: float | None = Field(description="Difference worth knowing.")
    size: int = Field(description="Trials in all, those of points that are not drawn yet among them.")
    done: int | None = Field(description="null: the data were not opened, so ids and records are unknown.")
    to_train: int | None = Field(
        description="Of a study that decides: until its next look. Of a search: at most. null: the data were "
        "not opened."
    )
    pending_points: int = Field(description="Of a search: trials of points that are not drawn yet.")
    gigabytes: Value = Field(description="Estimate of what is kept; null: unknown.")
    workers: int = Field(description="Of a trial.")
    cpus: int = Field(description="Cores of a worker.")
    gpus: float = Field(description="Of a worker.")
    data: tuple[PlannedData, ...] = Field(description="Empty: the data were not opened.")
    cells: tuple[PlannedCell, ...]
    trials: tuple[PlannedTrial, ...]
    comparisons: tuple[PlannedComparison, ...]
    stages: tuple[SharedStage, ...]
    looks: tuple[int, ...] = Field(description="Seeds at which a study that decides is looked at.")
    expected: tuple[ExpectedTrainings, ...] = Field(description="Of a study that decides.")
    design: str = Field(description="In words.")
    resolution_limits: tuple[str, ...] = Field(description="What the masks allow the methods, in words.")
    evaluations: int = Field(
        default=0, description="Of trained models under the conditions of `test_under`, in all."
    )
    evaluations_left: int | None = Field(
        default=0, description="That `assay run` makes; null: the data were not opened."
    )
    promises: tuple[str, ...] = Field(
        description="What the parts that choose the threshold can promise of new ones, in words; empty: the "
        "data were not opened, or no part chooses."
    )
    warnings: tuple[str, ...]
    forecast: ForecastAnswer | None = Field(default=None, description="null: not asked for.")

    def with_forecast(self, forecast: Forecast | None) -> Self:
        """The same answer with hours and memory."""
        timed = None if forecast is None else ForecastAnswer.model_validate(forecast, from_attributes=True)
        return self.model_copy(update={"forecast": timed})


def plan_answer(
    planned: Plan,
    records: Mapping[str, Record],
    *,
    known: bool = True,
    listed: bool = True,
    stages: Sequence[SharedStage] = (),
    expected: Sequence[ExpectedTrainings] = (),
    design: str = "",
    resolution_limits: Sequence[str] = (),
    promises: Sequence[str] = (),
    warnings: Sequence[str] = (),
    evaluations_done: int = 0,
    evaluations_lost: int = 0,
) -> PlanAnswer:
    """The answer for a plan.

    Args:
        planned: Of a search, with the points so far.
        records: Of its trials, by id.
        known: The data were opened, so that ids mean something.
        listed: Name the trials one by one.
        stages: That trials share.
        expected: Trainings of a study that decides.
        design: In words.
        resolution_limits: Sentences on what the masks allow.
        promises: Sentences on what the parts that choose the threshold can promise.
        warnings: Of plan and masks.
        evaluations_done: Results under other conditions that are stored.
        evaluations_lost: Those that nobody can make, of stored trials.
    """
    study, need = planned.study, planned.study.resources
    trials = Counter(trial.cell for trial in planned.trials)
    done = Counter(trial.cell for trial in planned.trials if trial.id in records)
    evaluations = planned.size * len(study.conditions)
    return PlanAnswer(
        study=study.study,
        question=study.question.strip(),
        hash=study.content_hash,
        primary=study.metrics.primary,
        metrics=tuple(dict.fromkeys([study.metrics.primary, *study.metrics.report])),
        resolve=study.resolve,
        size=planned.size,
        done=len(records) if known else None,
        to_train=_to_train(planned, records) if known else None,
        pending_points=planned.size - len(planned.trials),
        gigabytes=planned.gigabytes,
        workers=need.workers,
        cpus=need.cpus,
        gpus=need.gpus,
        data=tuple(PlannedData.model_validate(m, from_attributes=True) for m in planned.manifests.values()),
        cells=tuple(
            PlannedCell(
                cell=cell.name,
                levels=cell.levels,
                trainable=cell.trainable,
                revision=cell.revision,
                differs=cell.diff,
                trials=trials[cell.name],
                done=done[cell.name] if known else None,
            )
            for cell in planned.cells
        ),
        trials=_trials(planned, records, known=known) if listed else (),
        comparisons=_comparisons(planned),
        stages=tuple(stages),
        looks=study.repeats.decide,
        expected=tuple(expected),
        design=design,
        resolution_limits=tuple(resolution_limits),
        evaluations=evaluations,
        evaluations_left=evaluations - evaluations_done - evaluations_lost if known else None,
        promises=tuple(promises),
        warnings=tuple(warnings),
    )


def _to_train(planned: Plan, records: Mapping[str, Record]) -> int:
    study = planned.study
    if study.repeats.decide and not records:  # nothing is settled: each cell trains until the first look
        first = {*study.repeats.seeds[: study.repeats.decide[0]]}
        return sum(trial.seed in first for trial in planned.trials)
    from assay.analysis.results.reading import needed_plan
    from assay.storage.plans import is_foreign

    records = {id_: record for id_, record in records.items() if not is_foreign(record, planned)}
    needed = needed_plan(planned, records)
    return needed.size - len(needed.trials) + sum(trial.id not in records for trial in needed.trials)


def _trials(planned: Plan, records: Mapping[str, Record], *, known: bool) -> tuple[PlannedTrial, ...]:
    return tuple(
        PlannedTrial(
            id=trial.id if known else None,
            cell=trial.cell,
            seed=trial.seed,
            fold=trial.fold,
            state=_state(records.get(trial.id)) if known else None,
        )
        for trial in planned.trials
    )


def _state(record: Record | None) -> _State:
    return "planned" if record is None else record.status


def _comparisons(plan: Plan) -> tuple[PlannedComparison, ...]:
    if plan.has_front:
        return ()  # no point is best
    repeats, levels = _repeats_of_cells(plan), {cell.name: cell.levels for cell in plan.cells}
    rows: list[PlannedComparison] = []
    for comparison in plan.comparisons:
        common = [len(repeats[start] & repeats[end]) for start, end in comparison.pairs]
        fields = {"factor", "start", "end", "pairs", "allowed", "ask", "over"}
        facts: dict[str, Any] = comparison.model_dump(include=fields)
        changes = tuple(comparison.changes())
        row = {"comparison": comparison.name, "n_least": min(common), "n_most": max(common), **facts}
        sets = (
            {levels[start][comparison.over]: None for start, _ in comparison.pairs} if comparison.over else {}
        )
        rows.append(PlannedComparison.model_validate({**row, "changes": changes, "data_sets": tuple(sets)}))
    return tuple(rows)


def _repeats_of_cells(plan: Plan) -> dict[str, set[tuple[int, int | None]]]:
    """Cell → (seed, fold); of a search, those of the winners that are compared."""
    from assay.study import SearchPlan

    repeats: dict[str, set[tuple[int, int | None]]] = {}
    for trial in plan.trials:
        repeats.setdefault(trial.cell, set()).add((trial.seed, trial.fold))
    for searched in plan.searched if isinstance(plan, SearchPlan) else ():
        fresh = repeats.setdefault(searched.design_cell, set())
        fresh.update((repeat.seed, repeat.fold) for repeat in searched.fresh)
    return repeats


def stage_rows(stages: Mapping[str, StageNode], made: Collection[str]) -> list[SharedStage]:
    """Steps that trials share: how many there are, of how many trials, and how many are made."""
    kinds = dict.fromkeys((node.trials[0].trainable, node.name) for node in stages.values())
    rows: list[SharedStage] = []
    for trainable, name in kinds:
        nodes = [n for n in stages.values() if (n.trials[0].trainable, n.name) == (trainable, name)]
        done = sum(node.key in made for node in nodes)
        rows.append(
            SharedStage(
                stage=name,
                trainable=trainable,
                reads=tuple(dict.fromkeys(stages[key].name for node in nodes for key in node.after)),
                to_make=len(nodes) - done,
                shared=sum(len(node.trials) > 1 for node in nodes),
                made=done,
                trials=len({trial.id for node in nodes for trial in node.trials}),
            )
        )
    return rows
