"""Time that a study still takes: the steps that are to come, at what steps of their kind took.

A step is a stage of a method, or what a trial does itself beside its stages. Trials share stages, so the time
of a study is the sum over its steps, each made once, and not that over its trials.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple, Self

from assay.storage.forecast import Forecast
from assay.storage.progress import Running
from assay.storage.record import Record
from assay.storage.stage_store import StageRecord
from assay.study import Trial

if TYPE_CHECKING:
    from assay.study.stage_graph import Need

__all__ = ["Left", "NeededStages", "time_left"]

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
        ask: :func:`~assay.study.stage_graph.stages_of`, which loads the trial's method; None: not known.
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
    """Until every trial has a record, with as many steps at a time as now.

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
