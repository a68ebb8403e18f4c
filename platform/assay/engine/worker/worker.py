"""A worker: who it is, where its batch's things lie, and its turn on a GPU that trials share."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from assay.engine.process.process import Trained, Trainer
from assay.engine.trial_batch import TrialBatch
from assay.engine.versions import imported_versions, program_packages, source_version
from assay.storage import Environment, Store, Worker

__all__ = ["BatchWorker", "gpu_turn", "never", "trainer_here"]

_POLL_SECONDS = 0.2  # between two polls whether it is this process's turn
_SIGN_SECONDS = 10.0


def never() -> bool:
    """Return False: what is asked does not happen here."""
    return False


def trainer_here() -> Trainer:
    """The trainer in this process, for debuggers and notebooks."""
    from assay.engine.process.train_here import TrainHere  # loads torch

    return TrainHere()


@dataclass(frozen=True)
class BatchWorker:
    """This worker: who it is, and where its batch's things lie."""

    batch: TrialBatch
    store: Store
    rank: int
    world_size: int
    node: str
    driver_pid: int
    device: str  # `cpu`, `cuda:0`
    trainer: Trainer = field(default_factory=trainer_here)
    stop: threading.Event = field(default_factory=threading.Event)  # when set, no further trial begins
    draining: Callable[[], bool] = never  # whether a node of this batch's workers is to be taken away
    falls_behind: Callable[[], bool] = never  # whether a pruner stops what is left of the batch
    alone: bool = False  # on a GPU that it shares otherwise

    @property
    def gpus(self) -> float:
        """GPUs that it has; a fraction is a share of one."""
        return self.batch.study.resources.gpus

    @property
    def gpu_share(self) -> float:
        """Share of its GPU that a training may fill, in (0, 1]; 1 on a CPU."""
        return 1.0 if self.alone or not self.gpus else min(1.0, self.gpus)

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
            threads=self.batch.study.resources.cpus if trained is None else trained.threads,
            instructions="" if trained is None else trained.instructions,
            device=self.device,
            gpu_share=self.gpu_share if self.gpus else None,
            versions=dict(version.packages),
            imports=imported_versions(trainable) if trainable else {},
            program_packages=program_packages(trainable) if trainable else {},
            source_hash=version.source,
            commit=version.commit,
            peak_memory_mb=None if trained is None else round(trained.peak_memory_mb, 1),
            confined_by="" if trained is None else trained.confined_by,
        )

    def described(self, trained: Trained) -> Worker:
        return Worker(
            rank=self.rank,
            pid=os.getpid(),
            node=self.node,
            shard_hash=trained.shard_hash,
            samples=trained.samples,
            weights_hash=trained.weights,
        )


@contextmanager
def gpu_turn(alone: bool, stop: threading.Event, waits: Callable[[], None]) -> Generator[bool]:
    """Hold this process's GPU for a ``with`` block: ``alone``, or shared with others that are not either.

    A GPU has two files on its machine, which processes lock. The kernel frees the locks of a process that
    dies, so nothing is left to tidy up. Who wants to be alone keeps the queue while it waits: nobody
    overtakes it.

    Args:
        alone: Whether nobody else may use it meanwhile.
        stop: Ends the wait when it is set.
        waits: Called every ten seconds while others have their turn.

    Yields:
        False if ``stop`` was set before its turn came.
    """
    name = os.environ.get("CUDA_VISIBLE_DEVICES", "0").replace("/", "_")
    path = Path(tempfile.gettempdir()) / f"assay-gpu-{os.getuid()}-{name}"
    with ExitStack() as held, ExitStack() as queue:
        mine = _lock(Path(f"{path}.queue"), fcntl.LOCK_EX, stop, waits, queue) and _lock(
            Path(f"{path}.gpu"), fcntl.LOCK_EX if alone else fcntl.LOCK_SH, stop, waits, held
        )
        queue.close()
        yield mine


def _lock(path: Path, kind: int, stop: threading.Event, waits: Callable[[], None], held: ExitStack) -> bool:
    """Lock a file until ``held`` closes; False if ``stop`` was set first."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    held.callback(os.close, file)  # which frees the lock
    due = 0.0

    # The lock is asked for again and again instead of waited for in the kernel: meanwhile a stop is heard,
    # and the heartbeat goes on, or the trial would pass for dead.
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= due:
                waits()
                due = time.monotonic() + _SIGN_SECONDS
            if stop.wait(_POLL_SECONDS):
                return False
        else:
            return True
