"""Batches that are trained in the process of their Tune trial: those whose trials have one worker.

The process holds the cores and the GPU share of a trial. It hands trials to training processes of its own, as
``assay run --local`` does, and evaluates them.
"""

from __future__ import annotations

import os
import threading

import ray

from assay.engine.cluster.capacity import DrainNotice
from assay.engine.process.fork_server import ForkServer
from assay.engine.trial_batch import TrialBatch
from assay.engine.worker.train_trials import train_trials, trainer_of
from assay.engine.worker.worker import BatchWorker
from assay.storage import Store
from assay.storage.method_store import load_methods

__all__ = ["OwnProcess"]

_ABORT_SECONDS = 20.0


class OwnProcess:
    """Trains batches in a thread of this process, so that a pruner and Ctrl-C are heard meanwhile."""

    def __init__(self, store: Store, server: ForkServer) -> None:
        """``server``: starts the training processes."""
        self.error: BaseException | None = None
        self._store, self._server = store, server
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Tell whether a batch is being trained."""
        return self._thread is not None and self._thread.is_alive()

    def train(self, batch: TrialBatch) -> None:
        """Begin a batch."""
        self.error = None
        self._thread = threading.Thread(target=self._train, args=(batch,), daemon=True)
        self._thread.start()

    def is_over(self) -> bool:
        """Tell whether the batch is trained, or went wrong."""
        return not self.running

    def abort(self) -> None:
        """End the training; its trial goes on from its checkpoint next time."""
        # The stop is set before the server ends its processes, so that their deaths count as a stop and not
        # as failures.
        self._stop.set()
        self._server.stop()
        if self._thread is not None:
            self._thread.join(_ABORT_SECONDS)

    def _train(self, batch: TrialBatch) -> None:
        try:
            load_methods(self._store, batch.plan.trainables)
            node = ray.get_runtime_context().get_node_id()
            worker = BatchWorker(
                batch,
                self._store.for_run(batch.run.lease),
                rank=0,
                world_size=1,
                node=node,
                driver_pid=os.getpid(),
                # Ray shows a process its own GPUs only.
                device="cuda:0" if batch.study.resources.gpus else "cpu",
                trainer=trainer_of(batch, self._store, self._server, self._stop),
                stop=self._stop,
                draining=DrainNotice([node]),
            )
            train_trials(worker)
        except BaseException as error:  # noqa: BLE001 - carried to Tune by the driver, in its own thread
            self.error = error
