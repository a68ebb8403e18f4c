"""The answers of `assay status --json`, and the lines of `assay run --json`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field, RootModel

from assay.report.answers.base import Answer, Value, schema_name

if TYPE_CHECKING:
    from assay.analysis.decisions import StudyDecisions
    from assay.analysis.results.followed import StudyState
    from assay.storage import Store
    from assay.storage.progress import Running
    from assay.storage.record import Record

__all__ = [
    "EndedEvent",
    "EventAnswer",
    "SettledEvent",
    "StartedEvent",
    "StatusAnswer",
    "StatusOfAllAnswer",
    "StudyLine",
    "TrialEvent",
    "settled_events",
    "status_answer",
    "trial_event",
]


class RunningTrial(BaseModel):
    """A trial between its start and its record."""

    id: str
    cell: str
    seed: int
    fold: int | None
    stage: str = Field(description="That is being made, with epochs of its own; empty: the trial itself.")
    epoch: int | None = Field(description="Epochs finished; null: it starts.")
    epochs: int | None
    metrics: dict[str, Value] = Field(description="Of the last epoch.")
    seconds_left: Value
    silent_seconds: Value = Field(description="Since its last sign of life, where that is alarmingly long.")


class Unfinished(BaseModel):
    """A trial that ended without a result."""

    id: str
    cell: str
    seed: int
    fold: int | None
    status: Literal["diverged", "pruned", "failed"]
    reason: str | None


class Settling(BaseModel):
    """Comparisons of a study that decides."""

    comparisons: int
    settled: int
    given_up: int
    undecided: int
    next_seeds: int | None = Field(description="Of the look that comes; null: no look comes.")


class StatusAnswer(Answer):
    """State of one study."""

    schema_: Literal["assay/status/1"] = schema_name("assay/status/1")
    study: str
    question: str
    storage: str
    primary: str
    trials: int
    done: int
    counts: dict[str, int] = Field(description="Status of a record → trials.")
    running: tuple[RunningTrial, ...]
    planned: int = Field(description="Trials that nobody trains yet.")
    held: bool = Field(description="A run is at work on the study, here or elsewhere.")
    over: bool = Field(description="Every trial has a record.")
    seconds_left: Value
    seconds_left_at_least: bool = Field(
        description="No step of some kind has ended yet, and no forecast tells of it or trials train that "
        "tell more; or which stages are to come is not known."
    )
    settling: Settling | None = Field(description="null: the study trains all its repeats.")
    unfinished: tuple[Unfinished, ...] = Field(description="Trials that ended without a result.")
    damaged: tuple[str, ...] = Field(description="Trials whose record cannot be believed: `assay check`.")


class StudyLine(BaseModel):
    """A study of a storage; where it cannot be read, ``error`` says why and the counts are null."""

    study: str
    question: str = ""
    trials: int | None = None
    done: int | None = None
    counts: dict[str, int] = {}
    running: int | None = None
    planned: int | None = None
    error: str | None = None


class StudyLedger(BaseModel):
    """Studies that ask of the same data with the same methods."""

    studies: tuple[str, ...]
    comparisons: int = Field(description="Tried in all.")


class StatusOfAllAnswer(Answer):
    """All studies of a storage."""

    schema_: Literal["assay/status-all/1"] = schema_name("assay/status-all/1")
    storage: str
    studies: tuple[StudyLine, ...]
    ledgers: tuple[StudyLedger, ...]


def status_answer(store: Store, state: StudyState, *, held: bool) -> StatusAnswer:
    """State of a study at one moment; ``held``: somebody runs it."""
    results, snapshot, decisions = state.results, state.snapshot, state.decisions
    study, left = results.plan.study, snapshot.left
    return StatusAnswer(
        study=study.study,
        question=study.question.strip(),
        storage=store.uri,
        primary=study.metrics.primary,
        trials=snapshot.total,
        done=snapshot.done,
        counts=dict(snapshot.counts),
        running=tuple(map(_running, snapshot.running)),
        planned=snapshot.planned,
        held=held,
        over=snapshot.done >= snapshot.total,
        seconds_left=None if left is None else left.seconds,
        seconds_left_at_least=left is not None and left.least,
        settling=None if decisions is None else _settling(decisions),
        unfinished=tuple(_unfinished(r) for r in results.records.values() if r.status != "finished"),
        damaged=tuple(problem.trial for problem in results.problems),
    )


def _running(running: Running) -> RunningTrial:
    trial, progress = running.trial, running.progress
    return RunningTrial(
        id=trial.id,
        cell=trial.cell,
        seed=trial.seed,
        fold=trial.fold,
        stage="" if progress is None else progress.stage,
        epoch=None if progress is None else progress.epoch,
        epochs=None if progress is None else progress.epochs,
        metrics={} if progress is None else progress.metrics,
        seconds_left=running.left,
        silent_seconds=running.silent,
    )


def _unfinished(record: Record) -> Unfinished:
    return Unfinished.model_validate(
        {
            **{name: record.trial.get(name) for name in ("cell", "seed", "fold")},
            "id": record.id,
            "status": record.status,
            "reason": record.reason,
        }
    )


def _settling(decisions: StudyDecisions) -> Settling:
    return Settling(
        comparisons=len(decisions.pairs),
        settled=decisions.settled,
        given_up=decisions.given_up,
        undecided=len(decisions.taken.undecided),
        next_seeds=decisions.taken.next,
    )


# Lines of a run ---------------------------------------------------------------------------------------


class _Event(Answer):
    """A line of `assay run --json`."""

    schema_: Literal["assay/event/2"] = schema_name("assay/event/2")
    study: str
    time: float = Field(default_factory=time.time, description="Unix time, seconds.")


class StartedEvent(_Event):
    """The first line."""

    event: Literal["started"] = "started"
    trials: int
    done: int
    warnings: tuple[str, ...]


class TrialEvent(_Event):
    """A trial ended."""

    event: Literal["trial"] = "trial"
    id: str
    cell: str
    seed: int
    fold: int | None
    status: Literal["finished", "diverged", "pruned", "failed"]
    reason: str | None
    metric: str = Field(description="The primary one.")
    value: Value = Field(description="On test images; null where there is none.")
    done: int
    trials: int


class SettledEvent(_Event):
    """A comparison of a study that decides is settled."""

    event: Literal["settled"] = "settled"
    cell_a: str
    cell_b: str
    verdict: str
    seeds: int
    p: Value


class EndedEvent(_Event):
    """The last line."""

    event: Literal["ended"] = "ended"
    exit_code: int
    finished: int
    failed: int
    diverged: int
    pruned: int
    missing: int
    postponed: int = Field(description="Left for another budget.")
    trained_now: int
    seconds: float
    problems: tuple[str, ...]
    mlflow_lacks: str | None = Field(description="Why MLflow lacks some results; `assay mlflow --sync`.")


class EventAnswer(
    RootModel[Annotated[StartedEvent | TrialEvent | SettledEvent | EndedEvent, Field(discriminator="event")]]
):
    """A line of `assay run --json`."""


def trial_event(record: Record, state: StudyState) -> TrialEvent:
    """The line for a trial that ended."""
    study, trial = state.results.plan.study, record.trial
    metrics: Mapping[str, float] = {} if record.result is None else record.result.metrics
    return TrialEvent.model_validate(
        {
            **{name: trial.get(name) for name in ("cell", "seed", "fold")},
            "study": study.study,
            "id": record.id,
            "status": record.status,
            "reason": record.reason,
            "metric": study.metrics.primary,
            "value": metrics.get(study.metrics.primary) if record.status == "finished" else None,
            "done": state.snapshot.done,
            "trials": state.snapshot.total,
        }
    )


def settled_events(study: str, before: StudyDecisions | None, now: StudyDecisions) -> Sequence[SettledEvent]:
    """Lines for the comparisons that were settled between two looks."""
    known = {} if before is None else dict(zip(before.pairs, before.taken.decisions, strict=True))
    return [
        SettledEvent(
            study=study,
            cell_a=pair[0],
            cell_b=pair[1],
            verdict=decision.verdict,
            seeds=decision.repeats,
            p=decision.verdict_p,
        )
        for pair, decision in zip(now.pairs, now.taken.decisions, strict=True)
        if decision.verdict != "undecided" and (pair not in known or known[pair].verdict == "undecided")
    ]
