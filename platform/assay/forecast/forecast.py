"""Cost of a study before it is paid: hours and memory, per trial and in total.

Trials of one *shape* cost the same: they differ in seed, fold, and numbers such as a learning rate.
:mod:`assay.forecast.timing` times them; a forecast that is kept is read without it, and without torch.

The time that is left is reckoned in steps, and a stage that trials share counts once. Only a process that has
loaded the methods can ask them for their stages. So `assay run` computes it, while `assay status` and the
dashboard say "at least" where trials have some.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from pydantic import BaseModel, Field, ValidationError

from assay.storage.progress import Running
from assay.storage.record import Record
from assay.storage.stage_store import StageRecord
from assay.storage.store import Store
from assay.study import Study, Trial

if TYPE_CHECKING:
    from assay.study.planning.stage_graph import Need

__all__ = [
    "Forecast",
    "Left",
    "NeededStages",
    "Shape",
    "StageCost",
    "read_forecast",
    "time_left",
    "write_forecast",
]


class Shape(BaseModel, frozen=True, extra="forbid"):
    """Trials that cost the same."""

    cells: tuple[str, ...]
    trials: int = Field(description="Of the whole study.")
    missing: int = Field(description="Of these, still to be trained.")
    seconds: float = Field(
        description="Of one trial: images, training, judgement of all images; its stages too."
    )
    memory_mb: float = Field(description="Peak of one worker, MiB; of a GPU's memory where it has one.")
    source: Literal["first steps", "finished trials"]
    seen: int = Field(description="Steps that were timed, or trials that had finished.")
    stage_seconds: float = Field(0.0, description="Of `seconds`, those of stages that are made beside.")


class StageCost(BaseModel, frozen=True, extra="forbid"):
    """A stage that trials share: it is made once for all of them."""

    name: str
    missing: int = Field(description="Still to be made.")
    seconds: float = Field(description="Of one.")


class Forecast(BaseModel, frozen=True, extra="forbid"):
    """Remaining time of a study, on a machine like this one."""

    shapes: tuple[Shape, ...]
    at_once: int = Field(description="Places for trials beside each other.")
    stages: tuple[StageCost, ...] = ()
    untimed: tuple[str, ...] = Field((), description="Why stages could not be timed: they come on top.")
    one_thread: float | None = Field(
        None,
        description="Seconds of a trial with one thread over those with the threads it asks for; null where "
        "it asks for one, or for a GPU.",
    )
    content_hash: str = Field(description="Of the study that it was made for.")

    @property
    def trial_hours(self) -> float:
        """Hours of all missing trials and shared stages, one after the other."""
        return sum(seconds * count for seconds, count in self._jobs()) / 3600

    @property
    def slots(self) -> int:
        """Slots that are used: trials that are missing use no more than one each."""
        return max(1, min(self.at_once, sum(shape.missing for shape in self.shapes)))

    @property
    def hours(self) -> float:
        """Hours until the last missing trial has ended, if those that run beside each other do not slow down.

        The longest start first, each where a slot is free. One trial takes as long on many cores.
        """
        ends = [0.0] * self.slots
        for seconds, count in sorted(self._jobs(), reverse=True):
            for _ in range(count):
                heapq.heapreplace(ends, ends[0] + seconds)
        return max(ends) / 3600

    def with_one_thread(self, threads: int) -> Forecast | None:
        """The same trials with a thread each, as many more at once; None where that was not timed."""
        if self.one_thread is None:
            return None
        shapes = (
            shape.model_copy(
                update={
                    "seconds": shape.seconds * self.one_thread,
                    "stage_seconds": shape.stage_seconds * self.one_thread,
                }
            )
            for shape in self.shapes
        )
        stages = (
            stage.model_copy(update={"seconds": stage.seconds * self.one_thread}) for stage in self.stages
        )
        alone = {"shapes": tuple(shapes), "stages": tuple(stages), "at_once": self.at_once * threads}
        return self.model_copy(update={**alone, "one_thread": None})

    def step_seconds(self) -> tuple[dict[str, float], dict[str, float]]:
        """Cell → seconds of a trial without its stages, and name of a stage → seconds to make it."""
        alone = {cell: shape.seconds - shape.stage_seconds for shape in self.shapes for cell in shape.cells}
        return alone, {stage.name: stage.seconds for stage in self.stages}

    def _jobs(self) -> list[tuple[float, int]]:
        """Seconds and number of what is to be done: trials without their stages, and each stage once."""
        trials = [(shape.seconds - shape.stage_seconds, shape.missing) for shape in self.shapes]
        return [*trials, *((stage.seconds, stage.missing) for stage in self.stages)]


def write_forecast(store: Store, study: str, forecast: Forecast) -> None:
    """Keep a forecast beside the study's results, to be compared with what they took."""
    store.write_json(f"{store.study(study)}/forecast.json", forecast.model_dump(mode="json"))


def read_forecast(store: Store, study: Study) -> Forecast | None:
    """The last forecast of a study.

    None if none was made, it cannot be read, or the study asked something else by then: with other epochs
    its trials take another time.
    """
    try:
        content = store.read_bytes(f"{store.study(study.study)}/forecast.json")
        forecast = Forecast.model_validate_json(content)
    except (FileNotFoundError, ValidationError):
        return None
    return forecast if forecast.content_hash == study.content_hash else None


# Time that a running study still takes ------------------------------------------------------------
#
# Time that a study still takes: the steps that are to come, at what steps of their kind took.
#
# A step is a stage of a method, or what a trial does itself beside its stages. Trials share stages, so the
# time of a study is the sum over its steps, each made once, and not that over its trials.


_Kind = tuple[str, str]  # trainable, stage; without a stage: what its trials do themselves


class Left(NamedTuple):
    """Time until all is done."""

    seconds: float
    least: bool  # it takes longer: no step of some kind has ended, or nobody asked which stages are to come

    @property
    def roughly(self) -> str:
        """Words to say before the time."""
        return "at least" if self.least else "about"


class NeededStages:
    """The stages of trials, by name; a trial is asked for once.

    Args:
        ask: :func:`~assay.study.planning.stage_graph.stages_of`, which loads the trial's method; None: not
        known.
            Where it fails, as with a method that has another ``Config`` here, they are not known either.
    """

    def __init__(self, ask: Callable[[Trial], Sequence[Need]] | None) -> None:
        self._ask = ask
        self._staged: dict[str, bool] = {}  # by trainable: whether it has stages, whatever its settings
        self._of: dict[str, dict[str, str]] = {}
        self.keys: set[str] = set()  # of all stages of the trials that were asked for

    @property
    def known(self) -> bool:
        return self._ask is not None

    def of(self, trial: Trial) -> Mapping[str, str]:
        """Name → key, in the order in which they are made."""
        if self._ask is None or not self._staged.get(trial.trainable, True):
            return {}
        if trial.id not in self._of:
            try:
                keys = {need.stage.name: need.key for need in self._ask(trial)}
            except Exception:  # noqa: BLE001 - the method's own code, of which only the time left is asked
                self._ask = None
                return {}
            self._staged[trial.trainable] = bool(keys)
            self._of[trial.id] = keys
            self.keys.update(keys.values())
        return self._of[trial.id]


def time_left(
    trials: Iterable[Trial],
    records: Mapping[str, Record],
    running: Sequence[Running],
    *,
    pending_points: int,
    needed: NeededStages,
    made: Mapping[str, StageRecord],
    forecast: Forecast | None = None,
) -> Left | None:
    """Estimate the time until every trial has a record, with as many steps at a time as now.

    Args:
        trials: All of the study.
        records: By trial id.
        running: Trials that train now, or for which a stage is made.
        pending_points: Trials that a search is still to draw.
        needed: The stages of trials.
        made: Stages that are there, by key.
        forecast: Of the study; says what steps take of a kind of which none has ended.

    Returns:
        None where nothing runs, or no step that is to come was timed yet. Where it is not known which stages
        are to come, the time is a least one without them.
    """
    if not running:
        return None
    usual = _Usual.of(records.values(), running, made.values(), forecast)
    staged = usual.has_stages or any(record.stages for record in records.values())
    busy = {_step(trial, needed): trial.left_with(usual.evaluation(trial)) for trial in running}
    seconds, least, seen = 0.0, staged and not needed.known, set(made)

    # A step that is to come counts once, however many trials share it. One that runs now counts with what is
    # left of it.
    for trial in trials:
        if trial.id in records:
            continue
        for stage, step in (*needed.of(trial).items(), ("", trial.id)):
            if step in seen:
                continue
            seen.add(step)
            expected, whole = usual.seconds(trial, stage)
            left = busy.get(step)
            seconds += (expected or 0.0) if left is None else left
            least |= not whole

    # Points that are not drawn yet will take what the others took.
    drawn = [span for record in records.values() if (span := _span(record)) is not None]
    each = fmean(drawn) if drawn else sum(usual.known.values())
    seconds += pending_points * each
    return Left(seconds / len(running), least) if seconds or not least else None


def _step(running: Running, needed: NeededStages) -> str:
    """Key of what is being made: a stage, or the trial itself."""
    stage = running.progress.stage if running.progress is not None else ""
    return needed.of(running.trial).get(stage, running.trial.id)


@dataclass(frozen=True)
class _Usual:
    """Time that steps of a kind take."""

    over: Mapping[_Kind, float]  # mean of those that have ended
    under_way: Mapping[_Kind, float]  # mean of the epochs of those under way: without loading and evaluation
    evaluations: Mapping[str, float]  # by trainable: mean time of finished trials after their last epoch
    foretold: tuple[Mapping[str, float], Mapping[str, float]]  # as in `Forecast.step_seconds`

    @classmethod
    def of(
        cls,
        records: Iterable[Record],
        running: Sequence[Running],
        made: Iterable[StageRecord],
        forecast: Forecast | None,
    ) -> Self:
        # Steps that are over say best what such a step takes. Those under way stand in where none of their
        # kind has ended.
        over: defaultdict[_Kind, list[float]] = defaultdict(list)
        under_way: defaultdict[_Kind, list[float]] = defaultdict(list)
        evaluations: defaultdict[str, list[float]] = defaultdict(list)
        for stage in made:
            over[stage.trainable, stage.name].append(stage.seconds)
        for record in records:
            if (span := _span(record)) is not None:
                stages = sum(stage.seconds for stage in record.stages if not stage.reused)
                over[record.trial["trainable"], ""].append(max(0.0, span - stages))
                evaluations[record.trial["trainable"]].append(record.timings.get("finish", 0.0))
        for trial in running:
            if trial.progress is not None and (seconds := trial.progress.seconds):
                under_way[trial.trial.trainable, trial.progress.stage].append(seconds)
        return cls(
            {kind: fmean(spans) for kind, spans in over.items()},
            {kind: fmean(spans) for kind, spans in under_way.items()},
            {trainable: fmean(spans) for trainable, spans in evaluations.items()},
            ({}, {}) if forecast is None else forecast.step_seconds(),
        )

    @property
    def known(self) -> Mapping[_Kind, float]:
        """Seconds of each kind that was seen."""
        return {**self.under_way, **self.over}

    @property
    def has_stages(self) -> bool:
        return bool(self.foretold[1]) or any(stage for _, stage in self.known)

    def evaluation(self, running: Running) -> float:
        """Seconds that a trial takes after its last epoch, as far as is known."""
        in_stage = running.progress is not None and running.progress.stage
        return 0.0 if in_stage else self.evaluations.get(running.trial.trainable, 0.0)

    def seconds(self, trial: Trial, stage: str) -> tuple[float | None, bool]:
        """Seconds of a trial's step, and False where it takes longer than that."""
        kind = trial.trainable, stage
        if kind in self.over:
            return self.over[kind], True
        alone, stages = self.foretold
        foretold = stages.get(stage) if stage else alone.get(trial.cell)
        now = self.under_way.get(kind)
        if now is None:
            return foretold, foretold is not None
        # A forecast may be of another machine, and knows nothing of trials beside each other. What is under
        # way lacks what a trial does after its last epoch; a stage does nothing there.
        return now, bool(stage) and foretold is not None


def _span(record: Record) -> float | None:
    """Seconds on the clock of a finished trial, with the stages that it made itself."""
    if record.status != "finished" or record.started is None or record.ended is None:
        return None
    return (record.ended - record.started).total_seconds()
