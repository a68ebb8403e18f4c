"""The driver's end of a Train run: starts it in a process of its own, and ends it.

Ray removes a placement group when the job that made it ends, and not when a trial of Tune does: a Train run
that is stopped, or whose driver is killed, would keep its cores as long as the study runs. So the process
(``train_run.py``) is a job of its own. Whatever ends it, Ray ends its workers and frees their cores, with or
without a dashboard: measured, within 2 s of a ``kill -9``.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

import ray

from assay.engine.retries import MAX_ATTEMPTS
from assay.engine.trial_batch import TrialBatch
from trainables.errors import StorageError

__all__ = ["TrainRun", "TrainRunError"]

_ABORT_SECONDS = 10.0  # for Train's own way to end a run
_KILL_SECONDS = 10.0
# What Ray tells a worker of itself and its job: the run is a job of its own.
_OF_THIS_WORKER = re.compile(r"RAY_(JOB|RAYLET|WORKER|NODE|CLIENT_MODE|SERIALIZED)")


class TrainRunError(RuntimeError):
    """A Train run ended before its batch did."""


class TrainRun:
    """Trains one batch by several workers.

    They report nothing: each ``ray.train.report`` would cost a poll of Train's controller, and the records
    say all there is to say.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        """``config``: the driver's."""
        self.error: BaseException | None = None
        self._config = config
        self._process: subprocess.Popen[str] | None = None

    @property
    def running(self) -> bool:
        """Tell whether the run has not ended."""
        return self._process is not None and self._process.poll() is None

    def train(self, batch: TrialBatch) -> None:
        """Start the run, in the thread that lives as long as this process: the kernel ends it with that."""
        context = ray.get_runtime_context()
        order = {
            "driver_pid": os.getpid(),
            "address": context.gcs_address,
            "runtime_env": dict(context.runtime_env),
            "name": batch.name,
            "metadata": {"batch": batch.name, "trials": " ".join(trial.id for trial in batch.trials)},
            "scratch": self._config["scratch"],
            "storage": self._config["storage"],
            "batch": batch.path,
            "begun": batch.begun,
            **batch.study.resources.model_dump(include={"workers", "cpus", "gpus"}),
            "starts": MAX_ATTEMPTS,
            "attempts": MAX_ATTEMPTS * (len(batch.trials) + len(batch.stages)),
        }

        # The process gets none of this Ray worker's variables: it joins the cluster as a driver with a job of
        # its own, whose end ends its workers.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "assay.engine.on_ray.train_run"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if not _OF_THIS_WORKER.match(name)},
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as pipe:  # it was killed: its end says so
            json.dump(order, pipe)

    def is_over(self) -> bool:
        """Tell whether the run has ended; ``error`` says what went wrong then."""
        if self.running:
            return False
        assert self._process is not None, "a run was started"
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            answer = pipe.read()

        # A process that was killed leaves no answer. Otherwise it says whether the storage was in the way:
        # then the study ends, and not only this batch.
        if not answer:
            self.error = TrainRunError(f"the Train run's process ended ({self._process.returncode})")
        elif (trouble := json.loads(answer))["text"] is not None:
            kind = StorageError if trouble["storage"] else TrainRunError
            self.error = kind(trouble["text"])
        return True

    def abort(self) -> None:
        """End the run, its workers with it; harmless when it has ended already."""
        if self._process is None or not self.running:
            return

        # On SIGINT the run ends in Train's own way, and its workers with it.
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_ABORT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_KILL_SECONDS)
