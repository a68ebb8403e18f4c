"""The Ray cluster a study runs on: started on this machine, or one that is there already.

``with cluster(...) as c:`` connects and says how many batches can train at once (``c.slots(resources)``).
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from assay.engine.cluster.capacity import staying_nodes, workers_on
from assay.engine.cluster.local_ray import DRIVER_SETTINGS, LocalRay, patience
from assay.engine.cluster.ray_connect import (
    ConnectTimeoutError,
    TokenRefusedError,
    connect,
    disconnect,
    environment_with,
    stuck,
    using,
)
from assay.engine.cluster.ray_watch import any_raylet, refuse_silent_address, refuse_web_server, watching
from assay.engine.cluster.shipping import SETTINGS, runtime_env, stage
from assay.engine.interrupts import Ending
from assay.study.file.schema import Resources
from trainables.errors import InputError

__all__ = ["Cluster", "cluster"]

_GONE_SECONDS = 5.0  # that a head is away while it is joined
_NODE_SECONDS = 10.0  # for the raylet of a node that has just been started
# One try: Ray asks twenty times with a token that was refused, and says so when it gives up.
_CLUSTER_SETTINGS = {"RAY_NUM_REDIS_GET_RETRIES": "1"}
_POLL_SECONDS = 2.0  # nodes come and go; they are looked at this often
_JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set where Ray Jobs started this process


@dataclass(frozen=True)
class Cluster:
    """Resources that the cluster offers. ``nodes``: resources of each living node, by Ray's names."""

    nodes: tuple[dict[str, float], ...]
    local: bool

    def slots(self, resources: Resources) -> int:
        """Count the batches of these resources that can train at the same time."""
        workers = sum(workers_on(node, resources.cpus, resources.gpus) for node in self.nodes)
        return workers // resources.workers

    def refuse_if_too_small(self, resources: Resources) -> None:
        """Say early that a batch would wait for ever.

        Raises:
            InputError: If not even one fits.
        """
        if self.slots(resources):
            return
        if not self.nodes:
            raise InputError(
                f"a trial needs {resources.workers} worker(s) on nodes that stay, found that all nodes of "
                "the cluster are to be taken away (drained). Add nodes."
            )
        cpus = ", ".join(f"{node.get('CPU', 0):g}" for node in self.nodes)
        gpus = sum(node.get("GPU", 0) for node in self.nodes)
        raise InputError(
            f"a trial needs {resources.workers} worker(s) with {resources.cpus} CPU(s) and "
            f"{resources.gpus:g} GPU(s) each, but the cluster's nodes have {cpus} CPU(s) "
            f"and {gpus:g} GPU(s) in all. Lower resources.workers, cpus or gpus in the study, "
            "or add nodes."
        )

    def follow(self, resources: Resources, say: Callable[[str], None]) -> Callable[[], int]:
        """Return a function that counts ``slots`` as nodes come and go, and may be called often.

        ``say`` hears when no node has room any more, and when one has room again.
        """
        known, polled = self.slots(resources), time.monotonic()

        def now() -> int:
            nonlocal known, polled

            # Ray on this machine keeps its size. Another cluster is asked every two seconds at most: the
            # searcher wants the number at each of Tune's steps.
            if not self.local and time.monotonic() - polled > _POLL_SECONDS:
                before, known, polled = known, _running_cluster(self.local).slots(resources), time.monotonic()
                if before and not known:
                    say("the nodes that are left have no room for a trial: waiting for others")
                elif known and not before:
                    say("nodes have come: training goes on")
            return known

        return now


@contextmanager
def cluster(cpus: int | None, ending: Ending, say: Callable[[str], None]) -> Generator[Cluster]:
    """Connect to ``RAY_ADDRESS``, or start Ray on this machine (``cpus``: default all its cores).

    Ray that was already initialised in this process is used and left running: within this block, as all tests
    of a session are, or by somebody else.

    Args:
        cpus: Cores of a Ray on this machine; None: all.
        ending: Is told when Ray's processes, or the cluster's head, die.
        say: Shows what happens now.

    Raises:
        InputError: If there is no such cluster, or Ray cannot be started.
    """
    # Ray reads its settings when it is loaded, so they come first; what the user has set wins.
    os.environ.update(SETTINGS | {name: os.environ[name] for name in SETTINGS.keys() & os.environ.keys()})
    if _is_initialized():
        yield _running_cluster(local=True)
    elif address := os.environ.get("RAY_ADDRESS"):
        say("joining the Ray that RAY_ADDRESS names")
        with environment_with(_CLUSTER_SETTINGS):
            _load_ray(ending)

        # Joining may take minutes, and Ctrl-C may leave it in the midst.
        with ending.work():
            _connect(address)
        with _joined(), watching(ending):
            yield _running_cluster(local=False)
    else:
        with _started(cpus, ending, say):
            yield _running_cluster(local=True)


def _is_initialized() -> bool:
    """Tell whether Ray is connected, without loading it for that: it reads its settings when it is loaded."""
    if "ray" not in sys.modules:
        return False
    import ray

    return ray.is_initialized()


def _load_ray(ending: Ending) -> None:
    import_module("ray")
    if ending.interrupted:  # an import can swallow the KeyboardInterrupt, in a callback of its own
        raise KeyboardInterrupt
    # Tune takes 2 s to load, and Ray starts in processes of its own, or is joined: side by side.
    threading.Thread(target=import_module, args=("ray.tune",), daemon=True).start()


@contextmanager
def _joined() -> Generator[None]:
    try:
        yield
    finally:
        disconnect()


@contextmanager
def _started(cpus: int | None, ending: Ending, say: Callable[[str], None]) -> Generator[None]:
    """Keep a Ray on this machine for a ``with`` block; what was begun in it is gone with it."""
    with using(DRIVER_SETTINGS):
        _load_ray(ending)
        processes = LocalRay.start(cpus, say)
        try:
            with ending.work():
                _join(processes)

            # From here on the run ends when a part of Ray dies. One that died before anybody listened is told
            # now.
            processes.on_loss = ending.lose
            if processes.lost:  # while this process joined it
                ending.lose(processes.lost)
            with _joined():
                yield
        finally:
            # Under a thread that still connects Ray's C++ would end this process: they end with it.
            if not stuck() or processes.lost:
                processes.end()


def _join(processes: LocalRay) -> None:
    try:
        connect(processes.address, patience())
    except (ConnectTimeoutError, TokenRefusedError, ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"Ray was started on this machine and cannot be joined ({error!s}). Run again when "
            "less is running, or train without Ray: `assay run STUDY --local`."
        ) from None


def _connect(address: str) -> None:
    """Join the cluster at ``address`` (``host:port`` of its head, or ``auto``).

    Raises:
        InputError: If nobody answers there.
    """
    from ray.exceptions import AuthenticationError, RayError

    # A dashboard's address is an easy mistake, and Ray would wait for an answer for minutes.
    if address != "auto":
        try:
            refuse_web_server(address)
        except OSError as error:
            raise _no_head(error) from None
    try:
        # Workers run the code of this process, which is shipped. A process that is itself a job of the
        # cluster has come with its code already.
        with tempfile.TemporaryDirectory(prefix="assay-") as folder:
            environment = None  # of a job: what was shipped when it was submitted
            if _JOB_VARIABLE not in os.environ:
                stage(Path(folder))
                environment = runtime_env(Path(folder))
            connect(address, patience(), runtime_env=environment, check=_head_check(address))
    except InputError:
        raise
    except (AuthenticationError, TokenRefusedError):
        raise InputError(
            f"the Ray cluster at RAY_ADDRESS={address} asks for a token, and refuses this one or "
            "found none. Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's "
            "token; on its head `ray get-auth-token` prints it."
        ) from None
    except (ConnectTimeoutError, ConnectionError, ValueError, RuntimeError, RayError) as error:
        words = " ".join(str(error).split()).rstrip(" .")
        raise InputError(
            f"the Ray cluster that RAY_ADDRESS names refuses: {words}. Check its version "
            "(`assay doctor` shows ours) and its token, or unset RAY_ADDRESS for a local Ray."
        ) from None


def _head_check(address: str) -> Callable[[], None]:
    """Make a check of what Ray goes on waiting for: a head that ended meanwhile, a node on this machine."""
    begun = seen = time.monotonic()

    def check() -> None:
        nonlocal seen
        try:
            # A busy head misses a knock now and then: only one that stays away is gone.
            if address != "auto":
                refuse_silent_address(address)
            seen = time.monotonic()
        except OSError as error:
            if time.monotonic() - seen > _GONE_SECONDS:
                raise _no_head(error) from None

        # A driver talks to its cluster through a raylet on its own machine. Without one Ray would wait and
        # not say why.
        if time.monotonic() - begun > _NODE_SECONDS and not any_raylet(address):
            raise InputError(
                "RAY_ADDRESS names a cluster that this machine is part of, and no node of it runs on this "
                f"machine ({socket.gethostname()}). Start one here (`ray start --address`), or hand the "
                "study over with `assay submit`."
            )

    return check


def _no_head(error: OSError) -> InputError:
    return InputError(
        "RAY_ADDRESS is the host:port of a running cluster's head, or `auto`, found one where none "
        f"answers ({error}). Start it with `ray start --head`, unset RAY_ADDRESS for a local Ray, or hand "
        "the study over from outside the cluster with `assay submit`."
    )


def _running_cluster(local: bool) -> Cluster:
    return Cluster(tuple(dict(node["Resources"]) for node in staying_nodes().values()), local)
