"""The Tune trial of a pack: owns the Train run that trains it, and reads the records to see how it goes.

A Train run takes 8 to 20 s to start, so it trains the next pack too, where Tune keeps the driver for it:
the driver names the pack in an object on the storage, and the workers, which wait for it, go on.

A class, not a function: Tune stops a function driver without a chance to end its Train run, whose placement
group then keeps its CPUs for ever (see ``train.py``). Here ``cleanup`` aborts the Train run, and ``step``
comes back every two seconds, so that Ctrl-C and a pruner are heard in the middle of a repeat.

The worker reports nothing: each ``ray.train.report`` would cost a poll of the controller, and the records
say all there is to say.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import Any

from ray import train, tune
from ray.train.backend import BackendConfig

from assay.engine.packs import MAX_ATTEMPTS, Pack, train_packs
from assay.engine.searcher import STORAGE
from assay.engine.train import PackTrainer, new_name, remove_orphans, remove_placement_groups, storage_error
from assay.storage import Record, Store
from assay.storage.files import PATIENCE_SECONDS
from trainables.errors import StorageError

__all__ = ["COMPLETE", "OtherProgramError", "PackDriver"]

COMPLETE = "pack_complete"  # in a result: the pack ended by itself, no pruner stopped it
_POLL_SECONDS = 0.1
_LOOK_SECONDS = (
    2.0  # between two looks at an object store, which are requests; a local one is looked at always
)
_HEARTBEAT_SECONDS = 2.0
_ABORT_SECONDS = 20.0


class OtherProgramError(RuntimeError):
    """A node with another program than the study's was given the pack, and trained nothing."""


class PackDriver(tune.Trainable):
    """Trains one pack after the other.

    ``config``: storage (URI), pack (path of its file), scratch (Tune's folder) and ``idle_seconds`` (how long
    workers wait for the next pack; 0: not at all).
    """

    def setup(self, config: dict[str, Any]) -> None:
        self._thread: threading.Thread | None = None
        self._take_on(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on the next pack in the same process (``reuse_actors``)."""
        before = self._pack
        self._take_on(new_config)
        if self._thread is not None and self._thread.is_alive():
            self._store.write_bytes(before.next, self._pack.path.encode())
        return True

    def _take_on(self, config: dict[str, Any]) -> None:
        self._store = Store(config["storage"], PATIENCE_SECONDS)
        self._pack = Pack.read(self._store, config["pack"])
        self._config = config
        self._error: BaseException | None = None
        remove_orphans(self._pack.run)
        self._records: dict[str, Record] = {}
        self._looked = 0.0
        self._epoch = 0  # the last one whose validation was reported

    def step(self) -> dict[str, Any]:
        try:
            return self._step()
        except StorageError as error:
            # A result, not an error: Tune would try the pack again, and then the next one.
            self.cleanup()
            return {"repeats": len(self._records), "done": True, STORAGE: str(error)}

    def _step(self) -> dict[str, Any]:
        if self._thread is None:
            self._start()
        assert self._thread is not None
        until = time.monotonic() + _HEARTBEAT_SECONDS
        while time.monotonic() < until:
            running = self._thread.is_alive()  # asked before the records: none can come after it is dead
            if not running or self._due():
                if self._store.exists(self._pack.over) or self._error is not None:
                    return self._end()
                if not running:  # it had waited too long for this pack
                    self._start()
                before = len(self._records)
                self._look()
                if len(self._records) > before:
                    return self._report()
                if (epoch := self._epoch_report()) is not None:
                    return epoch
            time.sleep(_POLL_SECONDS)
        # The groups of a driver that was killed while it started its Train run may appear after its death.
        remove_orphans(self._pack.run)
        return {"repeats": len(self._records)}

    def cleanup(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            self._trainer.abort(_ABORT_SECONDS)
            self._thread.join(_ABORT_SECONDS)
            with suppress(StorageError):  # `assay clean` lists what stays
                for pruned in self._store.records(trial.id for trial in self._pack.trials):
                    self._store.forget_training(pruned)
        if self._thread is not None:
            remove_placement_groups(self._name)

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Nothing to keep: records are the only state."""
        return {}

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load: a retried driver looks at the records."""

    def _start(self) -> None:
        pack = self._pack
        per_worker: dict[str, float] = {"CPU": pack.cpus}
        if pack.gpus:
            per_worker["GPU"] = pack.gpus
        attempts = MAX_ATTEMPTS * (len(pack.trials) + len(pack.stages))
        self._name = new_name(pack.run)  # of the Train run: it would resume the state of an old one
        self._trainer = PackTrainer(
            train_packs,
            train_loop_config={**self._config, "driver_pid": os.getpid()},
            backend_config=_backend(pack),
            scaling_config=train.ScalingConfig(
                num_workers=pack.workers, use_gpu=pack.gpus > 0, resources_per_worker=per_worker
            ),
            run_config=train.RunConfig(
                name=self._name,
                storage_path=self._config["scratch"],
                failure_config=train.FailureConfig(max_failures=attempts),
            ),
        )
        self._thread = threading.Thread(target=self._fit, daemon=True)
        self._thread.start()

    def _fit(self) -> None:
        try:
            self._trainer.fit()
        except BaseException as error:  # noqa: BLE001 - carried to Tune by `_end`, in its own thread
            self._error = error

    def _due(self) -> bool:
        return self._store.local_path is not None or time.monotonic() - self._looked >= _LOOK_SECONDS

    def _refuse_other_program(self) -> None:
        try:
            text = self._store.read_bytes(self._pack.refusal).decode()
        except FileNotFoundError:
            return
        for path in (self._pack.refusal, self._pack.over):  # Tune tries again, perhaps on other nodes
            self._store.delete_tree(path)
        raise OtherProgramError(text)

    def _look(self) -> None:
        waiting = [trial.id for trial in self._pack.trials if trial.id not in self._records]
        self._records |= self._store.records(waiting)
        self._looked = time.monotonic()

    def _report(self) -> dict[str, Any]:
        """Mean of the objective on validation over the repeats so far: a pruner may act on it."""
        mean = self._pack.objective_mean(self._records.values())
        shown = self._pack.resource == "repeats" and mean is not None
        return {"repeats": len(self._records), **({"value": mean} if shown else {})}

    def _epoch_report(self) -> dict[str, Any] | None:
        """The objective after an epoch, from the heartbeat of the pack's one trial; None without news."""
        if self._pack.resource != "epochs" or not self._pack.trials:
            return None
        beat = self._store.progress(self._pack.trials[0].id)
        if beat is None or beat.stage or beat.epoch <= self._epoch:
            return None
        value = beat.metrics.get(f"validation.{self._pack.objective}")
        if value is None:
            return None
        self._epoch = beat.epoch
        return {"epochs": beat.epoch, "value": value}

    def _end(self) -> dict[str, Any]:
        if self._error is not None:
            if (trouble := storage_error(self._error)) is not None:
                raise trouble
            self._store.probe()  # Ray, too, keeps files there, and says less plainly what is wrong
            raise self._error
        self._refuse_other_program()
        self._look()
        return {**self._report(), "done": True, COMPLETE: True}


def _backend(pack: Pack) -> BackendConfig | None:
    """Torch's process group, for several workers or GPUs; without it driver and controller need no torch."""
    if pack.workers == 1 and not pack.gpus:
        return None
    from ray.train.torch import TorchConfig

    return TorchConfig(backend="gloo")  # for words: training processes meet on their own
