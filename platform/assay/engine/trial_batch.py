"""Batches of trials: what is handed out at once. Pure Python, no Ray.

A batch is any list of trials with equal resources that run one after the other on the same worker, which
costs seconds to start, whatever it then trains (``on_ray/driver.py``).

On the storage a batch names its trials by id. What they are, and what the study wants of them, stands in the
plan that lies there too; what an `assay run` adds to it, in one file beside its batches (:class:`BatchRun`).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from assay.engine.durations import Limits
from assay.storage import Record, Store
from assay.storage.plans import PlannedTrials
from assay.study import Plan, Study, Trial

__all__ = ["BatchReader", "BatchRun", "BatchTasks", "StageTask", "TrialBatch", "missing_trials"]

_ODD = re.compile(r"[^A-Za-z0-9.+_-]+")
_NAME_CHARACTERS = 120


@dataclass(frozen=True)
class StageTask:
    """A stage to make before the trials that share it."""

    id: str  # its key
    name: str
    trial: Trial  # one of those that need it: says with what data and settings


BatchTasks = Sequence[Trial] | Sequence[StageTask]  # what one batch trains, or makes


class BatchRun(BaseModel, frozen=True, extra="forbid"):
    """An `assay run` as its batches know it: all that they share and the study's plan does not say."""

    id: str
    study: str
    data_root: str | None
    cache: str
    program: dict[str, str] = {}  # what each worker's must be (`versions.program`); empty: not compared
    lease: str = ""  # its token, which its attempts and requests to stop name

    @property
    def folder(self) -> str:
        """Folder of what this run writes for drivers and workers; deleted at its end."""
        return f"{Store.study(self.study)}/packs/{self.id}"

    def write(self, store: Store) -> None:
        """Write it where its batches will lie."""
        store.write_bytes(f"{self.folder}/run.json", self.model_dump_json().encode())


class _BatchFile(BaseModel, frozen=True, extra="forbid"):
    """A batch on the storage."""

    trials: tuple[str, ...]  # ids
    stages: tuple[tuple[str, str, str], ...]  # of each its key, its name and the id of a trial that needs it
    limits: Limits


@dataclass(frozen=True)
class TrialBatch:
    """Trials, or stages that trials share, that run one after the other on the same workers."""

    id: str
    run: BatchRun
    plan: Plan = field(repr=False)  # of the study; of a search without the points
    trials: tuple[Trial, ...]
    stages: tuple[StageTask, ...]
    limits: Limits  # of each training, going by what is known as it is handed out

    @property
    def study(self) -> Study:
        """The study, whose resources, metrics and kept files are those of each trial."""
        return self.plan.study

    @property
    def path(self) -> str:
        return f"{self.run.folder}/{self.id}.json"

    @property
    def pruned_by(self) -> Literal["repeats", "epochs"] | None:
        """What a pruner counts; None: it does not see this batch."""
        # A winner on fresh seeds is trained to its end, whatever the seeds before it were worth.
        replicate = self.study.replicate
        fresh = bool(self.trials and replicate is not None and self.trials[0].seed in replicate.seeds)
        return None if fresh else self.plan.pruned_by

    @property
    def rivals(self) -> str:
        """Name of those that a pruner compares it with: of one search, by epochs also of one repeat."""
        if not self.trials:
            return ""
        first = self.trials[0]
        search = first.cell.rpartition(" #")[0]  # points are called `base #3`
        return f"{search}, seed {first.seed}, fold {first.fold}" if self.pruned_by == "epochs" else search

    @property
    def name(self) -> str:
        """Study, cell and seed of the first trial, and how many follow: for names in Ray and Tune."""
        first = self.trials[0] if self.trials else self.stages[0].trial
        fold = "" if first.fold is None else f".fold{first.fold}"
        more = len(self.trials) + len(self.stages) - 1
        text = f"{self.run.study}.{first.cell}.seed{first.seed}{fold}{f'+{more}' if more else ''}"
        return _ODD.sub("_", text)[:_NAME_CHARACTERS]

    def write(self, store: Store) -> None:
        """Write the batch where driver and workers read it: Tune itself only sees its path."""
        file = _BatchFile(
            trials=tuple(trial.id for trial in self.trials),
            stages=tuple((task.id, task.name, task.trial.id) for task in self.stages),
            limits=self.limits,
        )
        store.write_bytes(self.path, file.model_dump_json().encode())

    @property
    def objective(self) -> str:
        """The metric on validation that a pruner compares, where one sees this batch."""
        objectives = self.plan.objectives
        return objectives[0].metric if objectives else self.study.metrics.primary

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
    def begun(self) -> str:
        """Path of the note by which several workers say that they have room, and met."""
        return f"{self.path}.begun"


class BatchReader:
    """Reads the batches of one run, for its drivers and workers. Run and plan are read with the first one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._run: BatchRun | None = None

    def read(self, path: str) -> TrialBatch:
        """The batch at ``path``.

        Raises:
            FileNotFoundError: If this node does not see the storage that the batch was written to.
            InputError: If the study's plan there is gone or damaged.
            StorageError: If the plan has not its trials: another run has written it anew.
        """
        folder, _, name = path.rpartition("/")
        file = _BatchFile.model_validate_json(self._read(path))

        # A batch names its trials by id only. What they are stands in the study's plan, which is read once
        # for all batches of a run.
        if self._run is None:
            self._run = BatchRun.model_validate_json(self._read(f"{folder}/run.json"))
            self._planned = PlannedTrials(self._store, self._run.study)
        trials = self._planned.by_id({*file.trials, *(trial for _, _, trial in file.stages)})
        return TrialBatch(
            id=name.removesuffix(".json"),
            run=self._run,
            plan=self._planned.plan,
            trials=tuple(trials[id_] for id_ in file.trials),
            stages=tuple(StageTask(key, stage, trials[id_]) for key, stage, id_ in file.stages),
            limits=file.limits,
        )

    def _read(self, path: str) -> bytes:
        try:
            return self._store.read_bytes(path)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{socket.gethostname()} does not see the storage {self._store.uri}: nothing lies at {path}. "
                "A storage is a URI, or a folder that all nodes share."
            ) from None


def missing_trials(trials: Sequence[Trial], recorded: Collection[str]) -> list[Trial]:
    """The trials without a record, in the plan's order."""
    return [trial for trial in trials if trial.id not in recorded]
