"""The Tune trial of a batch: trains it, or has it trained, and reads the records to see how it goes.

Trials with one worker are trained in the driver's own process (``own_process.py``), those with several by a
Train run (``train.py``).

A driver holds what a trial needs, which it trains itself, unless several workers train it: a driver that
holds a CPU while its Train worker waits for one deadlocks without a word, and Tune refuses drivers that hold
nothing. Such drivers hold a little memory, which Ray counts on every node, also of a cluster that others
started.

A class, not a function: Tune stops a function driver without a chance to end what it started. Here
``cleanup`` ends it, and ``step`` comes back every two seconds, so that Ctrl-C and a pruner are heard in the
middle of a repeat.

Workers report nothing to Ray, because each ``ray.train.report`` would wait for a poll: the driver reads their
records instead. With more than 200 trials at once it comes back less often, as Tune takes in a few hundred
results a second.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Protocol

from ray import tune

from assay.engine.on_ray.searcher import STORAGE
from assay.engine.process.fork_server import ForkServer
from assay.engine.trial_batch import BatchReader, TrialBatch
from assay.storage import Record, Store
from assay.storage.files.files import PATIENCE_SECONDS
from trainables.errors import StorageError

__all__ = ["AT_WORK", "COMPLETE", "BatchDriver", "OtherProgramError"]

AT_WORK = "at_work"  # in a result: the batch's workers have room
COMPLETE = "batch_complete"  # in a result: the batch ended by itself, no pruner stopped it
_DRIVER_MEMORY = 2**20  # bytes, few enough to bound nothing
_POLL_SECONDS = 0.1
_STORE_POLL_SECONDS = 2.0  # between two polls of an object store; a local one is looked at always


class OtherProgramError(RuntimeError):
    """A node with another program than the study's was given the batch, and trained nothing."""


class BatchTraining(Protocol):
    """Trains a batch beside the thread that asks."""

    error: BaseException | None  # why the batch ended, where it was not trained

    @property
    def running(self) -> bool: ...

    def train(self, batch: TrialBatch) -> None: ...

    def is_over(self) -> bool: ...

    def abort(self) -> None: ...


class BatchDriver(tune.Trainable):
    """Trains one batch.

    ``config``: storage (URI), batch (path of its file), name (of the batch's first trial), scratch (Tune's
    folder), ``workers``, ``cpus`` and ``gpus`` of a trial, ``watched`` (a pruner hears of each record and
    epoch) and ``answer_seconds`` (after which ``step`` comes back without news).
    """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        if config["workers"] > 1:
            return tune.PlacementGroupFactory([{"memory": _DRIVER_MEMORY}])
        gpus = {"GPU": config["gpus"]} if config["gpus"] else {}
        return tune.PlacementGroupFactory([{"CPU": config["cpus"], **gpus}])

    def __repr__(self) -> str:
        """Name the batch's first trial: Ray shows it of the actor, and before each line that it prints."""
        return f"{type(self).__name__}({self.config['name']})"

    def setup(self, config: dict[str, Any]) -> None:
        self._training: BatchTraining | None = None
        self._records: dict[str, Record] = {}
        self._polled = 0.0
        self._epoch = 0  # the last one whose validation was reported

    def step(self) -> dict[str, Any]:
        try:
            return self._step()
        except StorageError as error:
            # A result, not an error: Tune would try the batch again, and then the next one.
            self.cleanup()
            return {"repeats": len(self._records), "done": True, STORAGE: str(error)}

    def _begin(self) -> BatchTraining:
        """Read the batch, and have it trained.

        In a step: `setup` gives Tune no result, and it would try again where the storage is in the way.
        """
        self._store = Store(self.config["storage"], PATIENCE_SECONDS)
        self._batch = BatchReader(self._store).read(self.config["batch"])
        self._training = _training(self._batch, self._store, self.config)
        self._training.train(self._batch)
        return self._training

    def _step(self) -> dict[str, Any]:
        training = self._training or self._begin()

        # Look for news, but come back in time without any: Tune hears Ctrl-C and a pruner's word between two
        # steps only.
        until = time.monotonic() + self.config["answer_seconds"]
        while time.monotonic() < until:
            running = training.running  # asked before the records: none can come after it is dead
            if not running or self._due():
                self._polled = time.monotonic()
                if training.is_over():
                    return self._end(training.error)
                if self.config["watched"] and (news := self._news()) is not None:
                    return news
            time.sleep(_POLL_SECONDS)
        return {"repeats": len(self._records), AT_WORK: self._at_work()}

    def _at_work(self) -> bool:
        """Tell whether the batch has room: several workers say so, one has it with its driver."""
        return self._batch.study.resources.workers == 1 or self._store.exists(self._batch.begun)

    def cleanup(self) -> None:
        if self._training is None:
            return

        # This is asked before the abort. Of a training that was cut short, trials that have a record by now
        # need no checkpoint any more.
        stopped = self._training.running
        self._training.abort()
        if stopped:
            with suppress(StorageError):  # `assay clean` lists what stays
                for pruned in self._store.records(trial.id for trial in self._batch.trials):
                    self._store.forget_training(pruned)

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Keep nothing: records are the only state."""
        return {}

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Load nothing: a driver that is tried again looks at the records."""

    def _due(self) -> bool:
        return self._store.local_path is not None or time.monotonic() - self._polled >= _STORE_POLL_SECONDS

    def _news(self) -> dict[str, Any] | None:
        """Look for records and epochs that a pruner should hear of; None without news."""
        before = len(self._records)
        self._poll()
        return self._report() if len(self._records) > before else self._epoch_report()

    def _refuse_other_program(self) -> None:
        try:
            text = self._store.read_bytes(self._batch.refusal).decode()
        except FileNotFoundError:
            return
        self._store.delete_tree(self._batch.refusal)  # Tune tries again, perhaps on other nodes
        raise OtherProgramError(text)

    def _poll(self) -> None:
        waiting = [trial.id for trial in self._batch.trials if trial.id not in self._records]
        self._records |= self._store.records(waiting)

    def _report(self) -> dict[str, Any]:
        """Mean of the objective on validation over the repeats so far: a pruner may act on it."""
        mean = self._batch.objective_mean(self._records.values())
        shown = self._batch.pruned_by == "repeats" and mean is not None
        return {"repeats": len(self._records), **({"value": mean} if shown else {})}

    def _epoch_report(self) -> dict[str, Any] | None:
        """The objective after an epoch, from the heartbeat of the batch's one trial; None without news."""
        if self._batch.pruned_by != "epochs" or not self._batch.trials:
            return None
        beat = self._store.progress(self._batch.trials[0].id)
        if beat is None or beat.stage or not self._epoch < beat.epoch < beat.epochs:
            return None  # after the last one there is nothing left to spare
        value = beat.metrics.get(f"validation.{self._batch.objective}")
        if value is None:
            return None
        self._epoch = beat.epoch
        return {"epochs": beat.epoch, "value": value}

    def _end(self, error: BaseException | None) -> dict[str, Any]:
        if error is not None:
            if not isinstance(error, StorageError):
                self._store.probe()  # Ray, too, keeps files there, and says less plainly what is wrong
            raise error
        self._refuse_other_program()
        self._poll()
        return {**self._report(), "done": True, COMPLETE: True}


def _training(batch: TrialBatch, store: Store, config: dict[str, Any]) -> BatchTraining:
    """Make what trains batches of these resources."""
    if batch.study.resources.workers == 1:
        server = ForkServer()  # loads torch while this process loads the rest
        from assay.engine.on_ray.own_process import OwnProcess

        return OwnProcess(store, server)
    from assay.engine.on_ray.train import TrainRun

    return TrainRun(config)
