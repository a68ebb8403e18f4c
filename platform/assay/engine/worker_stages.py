"""Stages on a worker: found on storage, or made and kept there before they are used.

Each worker of a trial enters ``run.stage``; rank 0 looks and writes, and tells the others. Stages that
several trials need come first, as packs of their own (:class:`~assay.engine.packs.StageTask`), so that no two
trials wait for each other; where that went wrong, a trial makes what it lacks itself.
"""

from __future__ import annotations

import io
import tempfile
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.distributed as dist

from assay.engine.train_run import TrainRun, collective
from assay.storage import Environment, Store
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
from trainables.contract import seed_for
from trainables.data.samples import TrainingData
from trainables.stages import Stage, StageWork

__all__ = ["StageSite", "TrialStages"]

_T = TypeVar("_T")


class StageSite(NamedTuple):
    """The worker that makes stages, and where they are kept."""

    study: str
    store: Store
    cache: Path
    device: torch.device
    rank: int
    world_size: int
    environment: Callable[[], Environment]


class TrialStages:
    """The stages of one trial, by name, in the order in which they are asked for."""

    def __init__(self, trial: Trial, site: StageSite) -> None:
        self.uses: list[StageUse] = []
        self._trial, self._site = trial, site
        self._folders: dict[str, Path] = {}

    @cached_property
    def needs(self) -> dict[str, Need]:
        """The stages that the method names, by name."""
        return {need.stage.name: need for need in stages_of(self._trial)}

    @property
    def folders(self) -> Mapping[str, Path]:
        """Folders of the stages that were asked for, by name."""
        return self._folders

    def folder(self, stage: Stage, data: TrainingData, note: Callable[[str], None]) -> Path:
        """The folder with the files of a stage, made now or before.

        Raises:
            ValueError: If the method asks for a stage that it did not name, or before one that it reads.
        """
        if stage.name not in self.needs or not self._folders.keys() >= set(stage.after):
            raise ValueError(f"{self._trial.trainable} asks for stage {stage.name} out of its own order")
        need, site = self.needs[stage.name], self._site
        known = self._from_rank_0(read_stage(site.store, need.key) if site.rank == 0 else None)
        record = known or self._make(need, data)
        self._folders[stage.name] = fetch_stage(site.store, record, site.cache)
        self.uses.append(StageUse(name=stage.name, key=need.key, seconds=record.seconds, reused=bool(known)))
        note(f"stage {stage.name} {need.key}: {'found' if known else 'made'}, {record.seconds:.1f} s")
        return self._folders[stage.name]

    def _make(self, need: Need, data: TrainingData) -> StageRecord:
        site = self._site
        attempt = self._from_rank_0(begin_stage(need.key) if site.rank == 0 else None)
        assert attempt is not None, "rank 0 has begun one"
        run = TrainRun(
            self._trial,
            site.study,
            site.store,
            attempt,
            device=site.device,
            rank=site.rank,
            world_size=site.world_size,
            stage=need,
        )
        inputs = {name: self._folders[name] for name in need.stage.after}
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="assay-") as scratch, self._own_random_numbers(need):
            folder = Path(scratch)
            try:
                need.stage.make(StageWork(need.stage.config, inputs, data, run, folder))
            except Exception:
                run.note(f"not made:\n{traceback.format_exc()}".rstrip())  # whoever needs it says so, too
                raise
            record = None
            if site.rank == 0:
                _write_curve(run, folder)
                earlier = sum(row["seconds"] for row in run.history)  # also of attempts that were killed
                record = end_stage(
                    site.store,
                    attempt,
                    folder,
                    key=need.key,
                    name=need.stage.name,
                    trainable=self._trial.trainable,
                    seconds=max(time.monotonic() - start, earlier),
                    environment=site.environment(),
                )
        record = self._from_rank_0(record)
        assert record is not None, "rank 0 has written it"
        return record

    @contextmanager
    def _own_random_numbers(self, need: Need) -> Generator[None]:
        """For libraries without a generator: a stage that is made draws no number of what comes after it."""
        devices = [self._site.device] if self._site.device.type == "cuda" else []
        seed = seed_for(self._trial.seed, self._trial.fold, f"{need.stage.name}/torch")
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed % 2**63)
            yield

    def _from_rank_0(self, value: _T | None) -> _T | None:
        """Give every rank what rank 0 has: two looks at a storage may differ."""
        if self._site.world_size == 1:
            return value
        answer: list[_T | None] = [value]
        with collective():
            dist.broadcast_object_list(answer, src=0)
        return answer[0]


def _write_curve(run: TrainRun, folder: Path) -> None:
    if not run.history:
        return
    names = dict.fromkeys(name for row in run.history for name in row)
    table = pa.table({name: [row.get(name) for row in run.history] for name in names})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    (folder / STAGE_CURVE).write_bytes(sink.getvalue())
