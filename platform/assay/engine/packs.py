"""Packs: what is handed out at once. Pure Python, no Ray.

A pack is any list of trials with equal resources that run one after the other in the same place. A place
costs seconds to start, whatever it then trains: it trains one pack after the other (``driver.py``), except
where packs may be stopped on the way.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from assay.engine.durations import Limits
from assay.storage import Record, Store
from assay.study import Trial

__all__ = ["Content", "Pack", "StageTask", "missing_trials"]


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


def missing_trials(trials: Sequence[Trial], recorded: Collection[str]) -> list[Trial]:
    """The trials without a record, in the plan's order."""
    return [trial for trial in trials if trial.id not in recorded]
