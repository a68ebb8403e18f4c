"""A program: a Train run that trains one batch by several workers, as a Ray job of its own.

The batch's driver starts it (``train.py``), and writes one JSON object to its standard input. It answers with
one on its standard output: what went wrong, if anything did. It dies with the driver. On SIGINT it ends in
Train's own way.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import sys
import time
from typing import Any

from ray import train
from ray.train.backend import Backend
from ray.train.torch import TorchConfig, TorchTrainer

from assay.engine.cluster.local_ray import patience
from assay.engine.cluster.ray_connect import connect
from assay.engine.errors import NoOtherStartError
from assay.storage import Store
from assay.storage.files.files import PATIENCE_SECONDS
from trainables.errors import StorageError

__all__: list[str] = []

_DIE_WITH_PARENT = 1  # prctl
_SETTINGS = {
    # Workers wait for room as long as it takes. Afterwards a start that fails is one whose workers died.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(7 * 24 * 3600),
    # Rank 0 asks once a second whether a node is drained (``capacity.py``), on every release.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}
_NO_OTHER_START = re.compile(rf"{NoOtherStartError.__name__}: (\{{.*\}})$", re.MULTILINE)


class _AllGpus(Backend):
    """Nothing to set up: workers meet in their train loop. Those of a node see the GPUs of all of them."""

    share_cuda_visible_devices = True


class _Workers(TorchConfig):
    @property
    def backend_cls(self) -> type[Backend]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _AllGpus


def _train_batch(config: dict[str, Any]) -> None:
    """Call the worker's ``train_trial_batch``: named here for Train's controller, which loads nothing of
    it."""
    from assay.engine.worker.train_trials import train_trial_batch

    train_trial_batch(config)


def _fit(order: dict[str, Any]) -> dict[str, Any]:
    """Have the batch trained, by other workers if some died; returns what went wrong at last."""
    per_worker = {"CPU": order["cpus"], **({"GPU": order["gpus"]} if order["gpus"] else {})}

    # Train itself retries nothing: it does not tell a worker that died from a start that cannot succeed. That
    # is decided below.
    failures: dict[str, Any] = {"max_failures": 0, "controller_failure_limit": 0}
    if hasattr(train, "get_preemption_info"):  # Ray 2.59 and later
        failures["max_preemption_failures"] = 0
    store = Store(order["storage"], PATIENCE_SECONDS)
    died = deaths_in_a_row = 0
    while True:
        store.delete_tree(order["begun"])  # of workers that died: the next may have no room
        trainer = TorchTrainer(
            _train_batch,
            train_loop_config={name: order[name] for name in ("storage", "batch", "driver_pid")},
            torch_config=_Workers(),
            scaling_config=train.ScalingConfig(
                num_workers=order["workers"], use_gpu=order["gpus"] > 0, resources_per_worker=per_worker
            ),
            run_config=train.RunConfig(
                name=f"{order['name']}-{time.time_ns()}",  # an old name would resume its state
                storage_path=order["scratch"],
                failure_config=train.FailureConfig(**failures),
            ),
        )
        try:
            trainer.fit()
        except train.ControllerError as error:
            # No worker was at work yet. Such starts would go wrong again and again.
            deaths_in_a_row += 1
            if deaths_in_a_row >= order["starts"]:
                return {"storage": False, "text": str(error)}
        except train.TrainingFailedError as error:
            deaths_in_a_row = 0
            if (found := _NO_OTHER_START.search(str(error))) is not None:
                return json.loads(found[1])
            died += 1
            if died > order["attempts"]:
                return {"storage": False, "text": str(error)}
        else:
            return {"storage": False, "text": None}


def main() -> None:
    """Read the order, join the cluster, train, and say how it ended."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)

    # The driver may have died before the kernel was asked to pass its end on. Then nobody waits for this run.
    order = json.load(sys.stdin)
    if os.getppid() != order["driver_pid"]:
        return
    answer = os.dup(1)
    os.dup2(2, 1)  # what Ray prints goes to the driver's log
    os.environ.update(_SETTINGS)
    connect(
        order["address"],
        patience(),
        runtime_env=order["runtime_env"],
        metadata=order["metadata"],
    )
    try:
        ending = _fit(order)
    except StorageError as error:
        ending = {"storage": True, "text": str(error)}
    os.write(answer, json.dumps(ending).encode())
    os._exit(0)  # which ends the job: Ray ends what is left of it


if __name__ == "__main__":
    main()
