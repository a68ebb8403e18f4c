"""The Ray cluster a study runs on: started on this machine, or one that is there already.

``with cluster(...) as c:`` connects and says how many packs can train at once (``c.slots(resources)``).

A Tune driver that holds a CPU while its Train worker waits for one deadlocks without a word, and Tune refuses
drivers that hold nothing. Drivers therefore hold a little memory, which Ray counts on every node, also of a
cluster that others started.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import Any

from assay.engine.shipping import SETTINGS, runtime_env, stage
from assay.storage.redaction import redact
from assay.study.schema import Resources
from trainables.errors import InputError

__all__ = ["DRIVER_RESOURCES", "Cluster", "cluster", "knock", "start_local"]

# Of one Tune driver: bytes of memory, few enough to bound nothing.
DRIVER_RESOURCES: dict[str, float] = {"CPU": 0, "memory": 2**20}
_NAMESPACE = "assay"
_CONNECT_SECONDS = 5.0
_LOOK_SECONDS = 2.0  # nodes come and go; they are looked at this often
_JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set where Ray Jobs started this process
_OBJECT_STORE_BYTES = 200 * 2**20  # images are memory-mapped files: Ray's own store carries almost nothing


@dataclass(frozen=True)
class Cluster:
    """Resources that the cluster offers. ``nodes``: resources of each living node, by Ray's names."""

    nodes: tuple[dict[str, float], ...]
    local: bool

    def slots(self, resources: Resources) -> int:
        """Count the packs of these resources that can train at the same time."""
        workers = sum(_workers_on(node, resources.cpus, resources.gpus) for node in self.nodes)
        return workers // resources.workers

    def refuse_if_too_small(self, resources: Resources) -> None:
        """Say early that a pack would wait for ever.

        Raises:
            InputError: If not even one fits.
        """
        if self.slots(resources):
            return
        cpus = ", ".join(f"{node.get('CPU', 0):g}" for node in self.nodes)
        gpus = sum(node.get("GPU", 0) for node in self.nodes)
        raise InputError(
            f"a trial needs {resources.workers} worker(s) with {resources.cpus} CPU(s) and "
            f"{resources.gpus:g} GPU(s) each, but the cluster's nodes have {cpus} CPU(s) "
            f"and {gpus:g} GPU(s) in all. Lower resources.workers, cpus or gpus in the study, "
            f"or add nodes."
        )

    def follow(self, resources: Resources) -> Callable[[], int]:
        """``slots`` as nodes come and go, for whoever asks often."""
        known, looked = self.slots(resources), time.monotonic()

        def now() -> int:
            nonlocal known, looked
            if not self.local and time.monotonic() - looked > _LOOK_SECONDS:
                known, looked = _look(self.local).slots(resources), time.monotonic()
            return known

        return now


def _workers_on(node: dict[str, float], cpus: float, gpus: float) -> int:
    fit = floor(node.get("CPU", 0) / cpus + 1e-9)
    return min(fit, floor(node.get("GPU", 0) / gpus + 1e-9)) if gpus else fit


@contextmanager
def cluster(cpus: int | None = None) -> Generator[Cluster]:
    """Connect to ``RAY_ADDRESS``, or start Ray on this machine (``cpus``: default all its cores).

    Ray that was already initialised in this process (the tests' session) is used and left running.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in SETTINGS.items()})
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


def knock(address: str) -> None:
    """See whether anybody listens at ``host:port``: Ray itself would try for a minute.

    Raises:
        OSError: If nobody does, or it is no such address.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or "/" in host or "@" in host:
        raise OSError("it is not host:port")  # which may hold a password: it is not shown
    socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()


def _connect(address: str) -> None:
    """Join the cluster at ``address`` (``host:port`` of its head, or ``auto``).

    Raises:
        InputError: If nobody answers there.
    """
    import ray

    if address != "auto":
        try:
            knock(address)
        except OSError as error:
            raise InputError(
                "RAY_ADDRESS is the host:port of a running cluster's head, or `auto`, found one where nobody "
                f"answers ({error}). Start it with `ray start --head`, or unset RAY_ADDRESS for a local Ray."
            ) from None
    try:
        with tempfile.TemporaryDirectory(prefix="assay-") as folder:
            environment = None  # of a job: what was shipped when it was submitted
            if _JOB_VARIABLE not in os.environ:
                stage(Path(folder))
                environment = runtime_env(Path(folder))
            ray.init(
                address=address,
                namespace=_NAMESPACE,
                runtime_env=environment,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"the Ray cluster that RAY_ADDRESS names refuses: {redact(str(error))}. Check its version "
            "(`assay doctor` shows ours) and its token, or unset RAY_ADDRESS for a local Ray."
        ) from None


def start_local(cpus: int | None = None) -> None:
    """Start Ray on this machine, with token authentication, without dashboard or telemetry."""
    os.environ.update({name: os.environ.get(name, value) for name, value in SETTINGS.items()})
    import ray

    # Ray listens on all interfaces and therefore asks for a token by default; it need not say so each time.
    logging.getLogger("ray._private.authentication.authentication_token_setup").setLevel(logging.ERROR)
    terminate = signal.getsignal(signal.SIGTERM)
    ray.init(
        address="local",
        num_cpus=cpus or len(os.sched_getaffinity(0)),
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
