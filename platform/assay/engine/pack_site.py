"""The worker that trains a pack: who it is, and where its pack's things lie."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from assay.engine.fitting.trainer import Trained, Trainer
from assay.engine.packs import Pack
from assay.engine.versions import imported_versions, source_version
from assay.storage import Environment, Store, Worker

__all__ = ["PackSite", "trainer_here"]


def trainer_here() -> Trainer:
    """The trainer in this process, for debuggers and notebooks."""
    from assay.engine.fitting.train_here import TrainHere  # loads torch

    return TrainHere()


@dataclass(frozen=True)
class PackSite:
    """This worker: who it is, and where its pack's things lie."""

    pack: Pack
    store: Store
    rank: int
    world_size: int
    node: str
    driver_pid: int
    device: str  # `cpu`, `cuda:0`
    trainer: Trainer = field(default_factory=trainer_here)
    stop: threading.Event = field(default_factory=threading.Event)  # when set, no further trial begins
    draining: Callable[[], bool] = bool  # whether a node of this pack's workers is to be taken away
    falls_behind: Callable[[], bool] = bool  # whether a pruner stops what is left of the pack
    more_room: Callable[[], bool] = bool  # whether more of this pack's workers have room than it has
    alone: bool = False  # on a GPU that it shares otherwise

    @property
    def gpu_share(self) -> float:
        """Share of its GPU that a training may fill, in (0, 1]; 1 on a CPU."""
        return 1.0 if self.alone or not self.pack.gpus else min(1.0, self.pack.gpus)

    @property
    def host(self) -> str:
        return socket.gethostname()

    def environment(
        self, workers: tuple[Worker, ...] = (), trained: Trained | None = None, trainable: str = ""
    ) -> Environment:
        """Describe where this trial runs and with what; ``trainable``: its method, once it has trained."""
        version = source_version()
        return Environment(
            node=self.node,
            host=self.host,
            pid=os.getpid(),
            driver_pid=self.driver_pid,
            world_size=self.world_size,
            workers=workers,
            threads=self.pack.cpus if trained is None else trained.threads,
            instructions="" if trained is None else trained.instructions,
            device=self.device,
            gpu_share=self.gpu_share if self.pack.gpus else None,
            versions=dict(version.packages),
            imports=imported_versions(trainable) if trainable else {},
            source_hash=version.source,
            commit=version.commit,
            peak_memory_mb=None if trained is None else round(trained.peak_memory_mb, 1),
            confined_by="" if trained is None else trained.confined_by,
        )

    def worker(self, trained: Trained) -> Worker:
        return Worker(
            rank=self.rank,
            pid=os.getpid(),
            node=self.node,
            shard_hash=trained.shard_hash,
            samples=trained.samples,
            weights_hash=trained.weights,
        )
