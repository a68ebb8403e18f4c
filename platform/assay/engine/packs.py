"""Packs: what is handed out at once. Pure Python, no Ray.

A pack is any list of trials with equal resources that run one after the other in the same place. A place
costs seconds to start, whatever it then trains: it trains one pack after the other (``driver.py``), except
where packs may be stopped on the way.
"""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from math import ceil
from typing import Literal

from pydantic import BaseModel

from assay.engine.limits import Limits
from assay.storage import Record, Store
from assay.storage.stage_store import made_stages
from assay.study import Trial
from assay.study.stage_graph import shared_first, stage_graph

__all__ = [
    "MAX_ATTEMPTS",
    "Content",
    "NotBegunError",
    "Pack",
    "StageTask",
    "packs_as_asked",
    "packs_beside_stages",
    "packs_of_rounds",
    "stage_packs",
]

# A pack of ten spreads the start over ten trials; larger ones gain little and leave slots idle at the end.
_LARGEST_AUTO_PACK = 10
_SHARES = 2  # of what is left, per slot: nobody knows what a trial takes, and the last packs are small then
_STAGE_PACKS = 4  # per slot, for the same reason
MAX_ATTEMPTS = 4  # a trial is tried again three times before it is failed


class NotBegunError(RuntimeError):
    """A worker cannot begin a pack: its file, or the code of a method, is not there or cannot be read."""


class StageTask(BaseModel, frozen=True, extra="forbid"):
    """A stage to make before the trials that share it."""

    id: str  # its key
    name: str
    trial: Trial  # one of those that need it: says with what data and settings


Content = Sequence[Trial] | Sequence[StageTask]  # of one pack


class Pack(BaseModel, frozen=True, extra="forbid"):
    """Trials, or stages that trials share, that run one after the other on the same workers."""

    id: str
    study: str
    run: str  # the `assay run` this pack belongs to
    started: datetime  # of that run: attempts are counted from here on
    trials: tuple[Trial, ...] = ()
    stages: tuple[StageTask, ...] = ()
    workers: int
    min_workers: int | None = None  # it starts with, where all have no room; None: all
    cpus: int
    gpus: float
    keep_models: bool
    probes: int
    primary: str  # the study's primary metric
    objective: str  # the metric on validation that a pruner compares
    times_models: bool = False  # latency is an objective: each model is timed
    resource: Literal["repeats", "epochs", "none"]  # what a pruner counts; none: it does not see this pack
    data_root: str | None
    cache: str
    limits: Limits = Limits(None, None)  # of each training
    program: dict[str, str] = {}  # what each worker's must be (`versions.program`); empty: not compared
    trainables: tuple[str, ...] = ()  # all methods of the study, whose program it is
    lease: str = ""  # token of its run's lease, which attempts and requests to stop name

    @property
    def path(self) -> str:
        return f"studies/{self.study}/packs/{self.run}/{self.id}.json"

    @property
    def contest(self) -> str:
        """Name of those that a pruner compares it with: of one search, by epochs also of one repeat."""
        if not self.trials:
            return ""
        first = self.trials[0]
        search = first.cell.rpartition(" #")[0]  # points are called `base #3`
        return f"{search}, seed {first.seed}, fold {first.fold}" if self.resource == "epochs" else search

    def write(self, store: Store) -> None:
        """Write the pack where driver and workers read it: Tune itself only sees its id."""
        store.write_bytes(self.path, self.model_dump_json().encode())

    @staticmethod
    def read(store: Store, path: str) -> Pack:
        """The pack at ``path``.

        Raises:
            FileNotFoundError: If this node does not see the storage that the pack was written to.
        """
        try:
            data = store.read_bytes(path)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{socket.gethostname()} does not see the storage {store.uri}: nothing lies at {path}. A "
                "storage is a URI, or a folder that all nodes share."
            ) from None
        return Pack.model_validate(json.loads(data))

    def objective_mean(self, records: Iterable[Record]) -> float | None:
        """Mean of the objective on validation over ``records`` that have it; None if none has."""
        values = [
            record.result.validation[self.objective]
            for record in records
            if record.result is not None and self.objective in record.result.validation
        ]
        return sum(values) / len(values) if values else None

    @property
    def refusal(self) -> str:
        """Path of the note by which workers say that they are another program and train nothing."""
        return f"{self.path}.refusal"

    @property
    def over(self) -> str:
        """Path of the note by which workers say that they have done what they can of this pack."""
        return f"{self.path}.over"

    @property
    def next(self) -> str:
        """Path of the note in which the driver names the pack that the same workers train next."""
        return f"{self.path}.next"


def packs_as_asked(
    trials: Sequence[Trial], size: int | str, slots: Callable[[], int]
) -> Iterator[list[Trial]]:
    """Divide ``trials`` while they are trained.

    Each pack of ``auto`` is half of a slot's share of what is left (at most ten trials): trials take
    different times, nodes come and go, and the last packs are small. (What was dealt beforehand left the last
    pack of a study of fifteen minutes training for three beside an idle core.)

    Args:
        trials: What is missing, in the plan's order.
        size: Trials per pack, or ``auto``.
        slots: Packs that can train at once, as of now.
    """
    remaining = deque(trials)
    while remaining:
        share = min(_LARGEST_AUTO_PACK, ceil(len(remaining) / (_SHARES * max(1, slots()))))
        share = share if size == "auto" else int(size)
        yield [remaining.popleft() for _ in range(min(share, len(remaining)))]


def stage_packs(trials: Sequence[Trial], store: Store, slots: int) -> list[list[StageTask]]:
    """The stages that several of ``trials`` need and nobody has made, for ``slots`` that take packs in turn.

    What hangs together stays in one pack, in the order in which it is made. Some packs per slot, those with
    most stages first: nobody knows what a stage costs, and most trials wait for some. (Two packs for two
    slots left one core idle for ten minutes: every other classifier of a study had a module more.)
    """
    graph = stage_graph(trials)
    groups = sorted(shared_first(graph, made_stages(store, graph)), key=len, reverse=True)
    packs: list[list[StageTask]] = [[] for _ in range(min(_STAGE_PACKS * slots, len(groups)))]
    for group in groups:
        tasks = [StageTask(id=node.key, name=node.name, trial=node.trials[0]) for node in group]
        min(packs, key=len).extend(tasks)
    return sorted(packs, key=len, reverse=True)


def packs_beside_stages(
    missing: list[Trial],
    tasks: Sequence[StageTask],
    in_flight: AbstractSet[str],
    size: int | str,
    slots: Callable[[], int],
) -> Iterator[list[Trial] | None]:
    """Until ``tasks`` are over: packs of trials that wait for none that is in flight, so that no slot idles.

    Args:
        missing: Trials to train; those that are handed out are taken away.
        tasks: Stages that were handed out.
        in_flight: Ids of the stages and trials that are handed out and not over, kept by the caller.
        size: As :func:`packs_as_asked`.
        slots: Packs that can train at once, as of now.

    Yields:
        A pack; None where every trial waits for a stage.
    """
    ids = {task.id for task in tasks}
    waits: dict[str, set[str]] = {trial.id: set() for trial in missing}
    for key, node in stage_graph(missing).items():
        for trial in node.trials if key in ids else ():
            waits[trial.id].add(key)
    while not ids.isdisjoint(in_flight):
        ready = [trial for trial in missing if waits[trial.id].isdisjoint(in_flight)]
        pack = next(packs_as_asked(ready, size, slots), [])
        taken = {trial.id for trial in pack}
        missing[:] = [trial for trial in missing if trial.id not in taken]
        yield pack or None


def packs_of_rounds(
    round_now: Callable[[], list[Trial]],
    packs_of: Callable[[list[Trial]], Iterator[Content | None]],
    in_flight: AbstractSet[str],
) -> Iterator[Content | None]:
    """Divide one round of trials after the other; what the next one holds depends on records of this one.

    Args:
        round_now: What is missing by now, going by the records; nothing new while a round is incomplete.
        packs_of: The packs of a round. It may leave trials out, where a budget ends: no round comes then.
        in_flight: Ids that are handed out and not over, kept by the caller.

    Yields:
        A pack; None where the next round waits for what is training.
    """
    handed: set[str] = set()
    looked_at: frozenset[str] | None = None
    while True:
        flying = frozenset(in_flight)  # before the records are read: what ends meanwhile is seen next time
        if flying and flying == looked_at:
            yield None
            continue
        looked_at = flying
        trials = [trial for trial in round_now() if trial.id not in handed]
        if not trials:
            if not flying:
                return
            yield None
            continue
        due = {trial.id for trial in trials}
        for pack in packs_of(trials):
            handed |= due.intersection(trial.id for trial in pack or ())
            yield pack
        if not due <= handed:
            return


def missing_trials(trials: Sequence[Trial], recorded: Collection[str]) -> list[Trial]:
    """The trials without a record, in the plan's order."""
    return [trial for trial in trials if trial.id not in recorded]
