"""One rank of a SegDecNet training with two workers over gloo, without Ray.

Used by ``test_two_workers.py``. Writes the weights after five steps, and what this rank saw. For
``test_stages.py`` also a rank that fails in a stage, and one whose trainings all fail.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.distributed as dist

from assay.engine.errors import OverdueError
from assay.engine.process.fit import TrainRun
from assay.engine.worker.ranks import wait_for_all
from assay.engine.worker.train_trials import train_trials
from assay.engine.worker.trial_log import StoredLog
from assay.engine.worker.worker import BatchWorker
from assay.storage import Environment, Store
from assay.study import Trial
from tests.engine.made_batches import make_batch
from tests.engine.staged_study import STAGED, StagedStudy
from tests.engine.toy_study import ToyStudy
from trainables.contract import TrainableConfig
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.spec import DataSpec, Supervision
from trainables.errors import Diverged
from trainables.segdec import TRAINABLE, SegDecConfig

POSITIVES = 5  # an epoch shows each once and as many normal images: ten images, five steps of two


class _Noted(TrainRun):
    """Notes the positions that this rank was given, batch by batch."""

    parts: list[list[int]]
    ends_in: int | None = None  # this epoch, when all but its note is done

    def shard(self, batch: Sequence[int]) -> Sequence[int]:
        part = super().shard(batch)
        self.parts.append([int(i) for i in part])
        return part

    def log(self, epoch: int, metrics: Mapping[str, float], epochs: int) -> None:
        if epoch == self.ends_in:
            raise InterruptedError("as when the nodes are gone")
        super().log(epoch, metrics, epochs)


def begin(rank: int, world_size: int, folder: Path) -> None:
    """Train into the second of two epochs, and end there."""
    with pytest.raises(InterruptedError):
        train(rank, world_size, folder, epochs=2, ends_in=1)


def train(rank: int, world_size: int, folder: Path, *, epochs: int = 1, ends_in: int | None = None) -> None:
    """Train epochs of five steps on image labels only, and write what came of it."""
    config = SegDecConfig(
        image_size=(128, 64), channel_scale=1 / 16, epochs=epochs, batch_size=2, lr=0.01, balance="none"
    ).resolved("cpu")
    store = Store(folder)
    attempt = store.begin_attempt("0" * 16, Environment())
    trial_log = StoredLog(trial_of("segdec", config), store, attempt, rank=rank, world_size=world_size)
    run = _Noted(trial_log, seed=0, fold=None, device=torch.device("cpu"), rank=rank, world_size=world_size)
    run.parts, run.ends_in = [], ends_in
    predictor = TRAINABLE.fit(config, _data(), run)
    out = folder / f"rank{rank}of{world_size}"
    out.mkdir()
    predictor.save(out)
    (out / "parts.json").write_text(json.dumps({"parts": run.parts, "history": trial_log.history}))


def fail_in_a_stage(rank: int, world_size: int, folder: Path, cache: str) -> None:
    """Hand a rank twice a batch of a stage whose method diverges: as when Train starts all workers anew."""
    text = STAGED.replace("seconds: {seconds}", "seconds: {seconds}, fault: diverge")
    study = StagedStudy.of(folder / "storage", Path(cache), seeds=(0,), text=text)
    batch = make_batch(
        study.plan, stages=study.stages()[0][:1], cache=cache, resources={"workers": world_size}
    )
    worker = BatchWorker(batch, study.store, rank, world_size, "here", 0, "cpu")
    with pytest.raises(Diverged):
        train_trials(worker)
    wait_for_all(world_size)
    train_trials(worker)


FAULTS = {
    "hangs": OverdueError("it gave no sign of life"),
    "memory": MemoryError("3 GiB were asked for"),
    "gpu": torch.OutOfMemoryError("3 GiB more"),
}


class _Fails(NamedTuple):
    """A trainer whose trainings all end with an error that a machine may be at fault for."""

    error: Exception

    @contextmanager
    def train(self, *_: object) -> Generator[Any]:
        raise self.error
        yield


def fail_twice(rank: int, world_size: int, folder: Path, cache: str, fault: str) -> None:
    """Hand a rank a batch until it goes on behind the trial that fails, as Train starts all workers anew."""
    study = ToyStudy.make(folder / "storage", Path(cache), seeds=(0,))
    batch = make_batch(study.plan, study.plan.trials[:1], cache=cache, resources={"workers": world_size})
    worker = BatchWorker(
        batch, study.store, rank, world_size, "here", 0, "cpu", trainer=_Fails(FAULTS[fault])
    )
    for _ in range(2):
        with pytest.raises((OverdueError, MemoryError, torch.OutOfMemoryError)):
            train_trials(worker)
        wait_for_all(world_size)
    train_trials(worker)


def _data() -> TrainingData:
    """Weak data: no sample has a mask field."""
    chance = np.random.default_rng(0)
    ids = tuple(str(i) for i in range(2 * POSITIVES))
    images = {i: chance.integers(0, 256, (128, 64, 1)).astype(np.uint8) for i in ids}
    labels = np.array([i < POSITIVES for i in range(2 * POSITIVES)])
    return TrainingData(ImageSet(ids, labels, images), None, Supervision(kind="weak"))


def trial_of(method: str, config: TrainableConfig) -> Trial:
    """A trial with image labels, outside of any study."""
    return Trial(
        id="0" * 16,
        cell="base",
        levels={},
        seed=0,
        fold=None,
        trainable=method,
        revision=1,
        config=config.model_dump(mode="json"),
        supervision=Supervision(kind="weak"),
        data=DataSpec(reader="synthetic"),
        manifest="",
        split="",
        diff={},
    )


def wait_long(rank: int, ranks: int, folder: Path) -> None:
    """Meet in a group that waits for two seconds, and wait for rank 0 for four."""
    dist.destroy_process_group()
    meet = f"file://{folder}/again"
    dist.init_process_group("gloo", meet, rank=rank, world_size=ranks, timeout=timedelta(seconds=2))
    wait_for_all(ranks)
    if rank == 0:
        time.sleep(4)
    wait_for_all(ranks)
