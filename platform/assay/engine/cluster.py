"""The Ray cluster a study runs on: started on this machine, or one that is there already.

``with cluster(...) as c:`` connects and says how many packs can train at once (``c.slots(resources)``).

A Tune driver that holds a CPU while its Train worker waits for one deadlocks without a word. Drivers
therefore hold no CPU but one unit of a custom resource, ``trial_driver``, that a local cluster is started
with. A cluster that others started may lack it: drivers then take a sliver of CPU, and the slots are
reckoned with the sliver.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from math import floor
from typing import Any

from assay.results.files import redact
from assay.study.schema import Resources
from trainables.errors import InputError

__all__ = ["Cluster", "cluster"]

DRIVER_RESOURCE = "trial_driver"
_DRIVER_SLIVER = 0.01  # CPUs of a driver on a cluster without the custom resource
_NAMESPACE = "assay"
_CONNECT_SECONDS = 5.0
_OBJECT_STORE_BYTES = 200 * 2**20  # images are memory-mapped files: Ray's own store carries almost nothing

_SETTINGS = {
    # A report, and the end of a run, waits for the next poll: 2 s by default.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "120",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # workers stay where data roots and storage are relative to
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Results are records: Tune's own result files would be a second truth.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_SYNCER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a heartbeat carries no value
    "RAY_AIR_NEW_OUTPUT": "0",  # the new reporter prints whatever the verbosity
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


@dataclass(frozen=True)
class Cluster:
    """What the cluster offers. ``nodes``: resources of each living node, by Ray's names."""

    nodes: tuple[dict[str, float], ...]
    local: bool

    @property
    def has_driver_resource(self) -> bool:
        return any(DRIVER_RESOURCE in node for node in self.nodes)

    @property
    def driver_resources(self) -> dict[str, float]:
        """What one Tune driver asks for."""
        return {"CPU": 0, DRIVER_RESOURCE: 1} if self.has_driver_resource else {"CPU": _DRIVER_SLIVER}

    @property
    def has_gpu(self) -> bool:
        return any(node.get("GPU", 0) > 0 for node in self.nodes)

    def slots(self, resources: Resources) -> int:
        """How many packs of these resources can train at the same time.

        Raises:
            InputError: If not even one fits.
        """
        sliver = 0.0 if self.has_driver_resource else _DRIVER_SLIVER / resources.workers
        workers = sum(_workers_on(node, resources.cpus + sliver, resources.gpus) for node in self.nodes)
        if slots := workers // resources.workers:
            return slots
        cpus = ", ".join(f"{node.get('CPU', 0):g}" for node in self.nodes)
        gpus = sum(node.get("GPU", 0) for node in self.nodes)
        hint = (
            ""
            if self.has_driver_resource
            else (
                " Nodes started with `ray start --resources='{\"trial_driver\": 1000}'` give drivers a place "
                "that costs no CPU."
            )
        )
        raise InputError(
            f"a trial needs {resources.workers} worker(s) with {resources.cpus} CPU(s) and "
            f"{resources.gpus:g} GPU(s) each, but the cluster's nodes have {cpus} CPU(s) "
            f"and {gpus:g} GPU(s) in all. Lower resources.workers, cpus or gpus in the study, "
            f"or add nodes.{hint}"
        )


def _workers_on(node: dict[str, float], cpus: float, gpus: float) -> int:
    fit = floor(node.get("CPU", 0) / cpus + 1e-9)
    return min(fit, floor(node.get("GPU", 0) / gpus + 1e-9)) if gpus else fit


@contextmanager
def cluster(cpus: int | None = None) -> Generator[Cluster]:
    """Connect to ``RAY_ADDRESS``, or start Ray on this machine (``cpus``: default all its cores).

    Ray that was already initialised in this process (the tests' session) is used and left running.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in _SETTINGS.items()})
    import ray

    if ray.is_initialized():
        yield _look(local=True)
        return
    address = os.environ.get("RAY_ADDRESS")
    if address:
        _connect(address)
    else:
        start_local(cpus)
    try:
        yield _look(local=not address)
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    """Join the cluster at ``address`` (``host:port`` of its head, or ``auto``).

    Raises:
        InputError: If nobody answers there. Ray itself would try for a minute and print over the display.
    """
    import ray

    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            if not port.isdecimal() or "/" in host or "@" in host:
                raise OSError("it is not host:port")
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            raise InputError(
                "RAY_ADDRESS is the host:port of a running cluster's head, or `auto`, found one where nobody "
                f"answers ({error}). Start it with `ray start --head`, or unset RAY_ADDRESS for a local Ray."
            ) from None
    try:
        ray.init(address=address, namespace=_NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"the Ray cluster that RAY_ADDRESS names refuses: {redact(str(error))}. Check its version "
            "(`assay doctor` shows ours) and its token, or unset RAY_ADDRESS for a local Ray."
        ) from None


def start_local(cpus: int | None = None) -> None:
    """Start Ray on this machine, with token authentication, without dashboard or telemetry."""
    os.environ.update({name: os.environ.get(name, value) for name, value in _SETTINGS.items()})
    import ray

    # Ray listens on all interfaces and therefore asks for a token by default; it need not say so each time.
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    terminate = signal.getsignal(signal.SIGTERM)
    ray.init(
        address="local",
        num_cpus=cpus or len(os.sched_getaffinity(0)),
        resources={DRIVER_RESOURCE: 1000},
        namespace=_NAMESPACE,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=False,
        object_store_memory=_OBJECT_STORE_BYTES,
    )
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)  # Ray put its own in place, which exits with 15 at once


def _look(local: bool) -> Cluster:
    import ray

    nodes: list[dict[str, Any]] = [node for node in ray.nodes() if node["Alive"]]
    return Cluster(tuple(dict(node["Resources"]) for node in nodes), local)
