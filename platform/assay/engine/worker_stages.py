"""Stages on a worker: found on storage, or made and kept there before they are used.

Each worker of a trial asks. Rank 0 looks and writes, and tells the others. Stages that several trials need
come first, as packs of their own (:class:`~assay.engine.packs.StageTask`), so that no two trials wait for
each other. Where that went wrong, a trial makes what it lacks itself.
"""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from assay.engine.journal import StorageJournal
from assay.engine.pack_site import PackSite
from assay.engine.packs import StageTask
from assay.engine.ranks import from_rank_0
from assay.engine.train_run import StageSpace
from assay.storage import Attempt
from assay.storage.record import StageUse
from assay.storage.stage_store import (
    STAGE_CURVE,
    StageRecord,
    begin_stage,
    end_stage,
    fetch_stage,
    read_stage,
)
from assay.study import Trial
from assay.study.stage_graph import Need, stages_of
from trainables.stages import Stage

__all__ = ["TrialStages", "add_tries", "count_tries"]


class _Making(NamedTuple):
    """A stage that was begun."""

    need: Need
    attempt: Attempt
    space: StageSpace
    journal: StorageJournal
    start: float


class TrialStages:
    """The stages of one trial, by name, in the order in which they are asked for."""

    def __init__(self, trial: Trial, site: PackSite, scratch: Path) -> None:
        """``scratch``: folder for the files of those that are being made."""
        self.uses: list[StageUse] = []
        self._trial, self._site, self._scratch = trial, site, scratch
        self.folders: dict[str, Path] = {}  # of those that were asked for, by name
        self._making: _Making | None = None

    @cached_property
    def needs(self) -> dict[str, Need]:
        """The stages that the method names, by name."""
        return {need.stage.name: need for need in stages_of(self._trial)}

    def find(self, stage: Stage, journal: StorageJournal) -> Path | None:
        """The folder of a stage that was made before.

        Raises:
            ValueError: If the method asks for a stage that it did not name, or before one that it reads.
        """
        site, need = self._site, self.needs.get(stage.name)
        if need is None or not self.folders.keys() >= set(need.stage.after):
            raise ValueError(f"{self._trial.trainable} asks for stage {stage.name} out of its own order")
        record = from_rank_0(read_stage(site.store, need.key) if site.rank == 0 else None, site.world_size)
        return None if record is None else self._use(record, journal, reused=True)

    def begin(self, stage: Stage) -> StageSpace:
        """Room for the files of a stage that was not found, and its own journal."""
        site, need = self._site, self.needs[stage.name]
        attempt = from_rank_0(begin_stage(need.key) if site.rank == 0 else None, site.world_size)
        assert attempt is not None, "rank 0 has begun one"
        journal = StorageJournal(
            self._trial,
            site.store,
            attempt,
            rank=site.rank,
            world_size=site.world_size,
            stage=need,
            draining=site.draining,
        )
        folder = self._scratch / attempt.name
        folder.mkdir()
        space = StageSpace(folder, {name: self.folders[name] for name in need.stage.after}, journal)
        self._making = _Making(need, attempt, space, journal, time.monotonic())
        return space

    def end(self, stage: Stage, journal: StorageJournal) -> Path:
        """Keep the files of the stage that was begun."""
        making, site = self._making, self._site
        assert making is not None, "a stage is begun before it is ended"
        assert making.need.stage.name == stage.name, "one stage is made at a time"
        record = None
        if site.rank == 0:
            if making.journal.history:
                pq.write_table(making.journal.curve(), making.space.folder / STAGE_CURVE, compression="zstd")
            earlier = sum(row["seconds"] for row in making.journal.history)  # of killed attempts, too
            record = end_stage(
                site.store,
                making.attempt,
                making.space.folder,
                key=making.need.key,
                name=stage.name,
                trainable=self._trial.trainable,
                seconds=max(time.monotonic() - making.start, earlier),
                environment=site.environment(),
            )
        record = from_rank_0(record, site.world_size)
        assert record is not None, "rank 0 has written it"
        self._making = None
        return self._use(record, journal, reused=False)

    def fail(self, text: str) -> None:
        """Say in the log of the stage that is being made why it was not: whoever needs it says so, too."""
        if self._making is not None:
            self._making.journal.note(f"not made:\n{text}".rstrip())

    def _use(self, record: StageRecord, journal: StorageJournal, *, reused: bool) -> Path:
        folder = fetch_stage(self._site.store, record, Path(self._site.pack.cache))
        self.folders[record.name] = folder
        self.uses.append(StageUse(name=record.name, key=record.key, seconds=record.seconds, reused=reused))
        state = "found" if reused else "made"
        journal.note(f"stage {record.name} {record.key}: {state}, {record.seconds:.1f} s")
        return folder


def count_tries(task: StageTask, site: PackSite) -> int:
    """Count the tries of a stage in this run that an error of its training ended; all ranks agree."""
    return from_rank_0(_noted_tries(task, site) if site.rank == 0 else 0, site.world_size)


def add_tries(task: StageTask, site: PackSite, tries: int) -> int:
    """Note such tries, on the rank that saw the error; returns how many there are by now."""
    total = _noted_tries(task, site) + tries
    site.store.write_bytes(_tries_path(task, site), str(total).encode())
    return total


def _noted_tries(task: StageTask, site: PackSite) -> int:
    try:
        return int(site.store.read_bytes(_tries_path(task, site)))
    except FileNotFoundError:
        return 0


def _tries_path(task: StageTask, site: PackSite) -> str:
    return f"{site.pack.path}.{task.id}.tries"
