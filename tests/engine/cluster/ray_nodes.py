"""A real Ray cluster on one machine: each node is a ``ray start`` of its own, with a token of its own.

Nodes are processes that do not know the test's, so each can have another environment. Nothing is asked of Ray
that a test could not ask of a cluster elsewhere: studies reach it over ``RAY_ADDRESS`` or its dashboard.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil

from assay.engine.cluster.local_ray import DRIVER_SETTINGS
from tests.helpers.ports import free_port

_RAY = Path(sys.executable).parent / "ray"
_START_SECONDS = 90.0
_TRIES = 3  # of a head: Ray gives its processes 30 s, which a machine that does much else may not have
# A killed node refuses at once, so it is missed after a second or two; one on a machine that stands still for
# seconds is not: a head that is taken for dead ends its cluster, and no later node can join it.
_FAST_HEALTH_CHECK = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 10_000,
    "health_check_failure_threshold": 3,
}


@dataclass
class RayNode:
    """One node: the processes of one ``ray start``."""

    start: subprocess.Popen[bytes]
    log: Path
    processes: set[psutil.Process] = field(default_factory=set)

    @property
    def id(self) -> str:
        """Ray's id of the node, from its raylet's command line."""
        match = re.search(r"--node[_-]id=([0-9a-f]+)", " ".join(self.raylet.cmdline()))
        assert match is not None
        return match[1]

    @property
    def raylet(self) -> psutil.Process:
        (raylet,) = self._raylets()
        return raylet

    @property
    def is_up(self) -> bool:
        """False from its raylet's end on: ``ray start`` needs a while to notice that, and to end too."""
        return self.start.poll() is None and bool(self._raylets())

    def _raylets(self) -> list[psutil.Process]:
        children = psutil.Process(self.start.pid).children()
        return [
            child for child in children if child.name() == "raylet" and child.status() != psutil.STATUS_ZOMBIE
        ]

    def wait(self) -> Self:
        """Until the node is part of the cluster."""
        until = time.monotonic() + _START_SECONDS
        while "Ray runtime started" not in self.log.read_text():
            self._note()  # what outlives a start that failed is known then
            assert self.start.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.2)
        self._note()
        return self

    @property
    def pids(self) -> set[int]:
        """Of all processes that it ever had."""
        self._note()
        return {process.pid for process in self.processes}

    def kill_raylet(self) -> None:
        """kill -9, as when the machine's power fails; what survives is ended with the cluster."""
        self._note()
        self.raylet.kill()

    def end(self) -> None:
        """End all processes that this node ever had."""
        self._note()
        for process in self.processes:
            if process.is_running():
                process.kill()
        psutil.wait_procs(self.processes, timeout=10)
        self.start.wait(10)

    def _note(self) -> None:
        if self.start.poll() is None:
            family = psutil.Process(self.start.pid)
            self.processes |= {family, *family.children(recursive=True)}


class RayNodes:
    """A cluster that nodes join and leave. Its head has ``cpus`` cores; jobs need its dashboard."""

    def __init__(self, cpus: int = 1, dashboard: bool = False) -> None:
        self.token = secrets.token_hex(16)
        for turn in range(1, _TRIES + 1):
            # Sockets lie below it, and their paths have about 100 characters: not in pytest's folders.
            self.folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
            self.nodes: list[RayNode] = []
            self.head = self._start_head(cpus, dashboard)
            try:
                self.head.wait()
                return
            except AssertionError:
                self.close()
                if turn == _TRIES:
                    raise

    def _start_head(self, cpus: int, dashboard: bool) -> RayNode:
        gcs, client, page = free_port(), free_port(), free_port()
        self.address, self.dashboard = f"127.0.0.1:{gcs}", f"http://127.0.0.1:{page}"
        return self._start(
            cpus,
            "--head",
            f"--port={gcs}",
            f"--ray-client-server-port={client}",
            f"--include-dashboard={str(dashboard).lower()}",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={page}",
            "--dashboard-agent-listen-port=0",
            f"--system-config={json.dumps(_FAST_HEALTH_CHECK)}",
        )

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that may use the cluster, and knows nothing of a Ray that this process has started."""
        return {
            **{name: value for name, value in os.environ.items() if name not in DRIVER_SETTINGS},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "AUTOSCALER_METRIC_PORT": "-1",
            "DASHBOARD_METRIC_PORT": "-1",
            "OMP_NUM_THREADS": "1",
        }

    def add(
        self,
        cpus: int = 1,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        memory: int | None = None,
    ) -> RayNode:
        """Start a node, without waiting for it.

        Args:
            cpus: Its cores.
            environment: Of its processes, beside the cluster's.
            prefix: A command that starts it.
            memory: Bytes that Ray counts on it; None: what the machine has.
        """
        assert self.head.is_up, f"the cluster's head ended: {self.head.log.read_text()}"
        return self._start(
            cpus,
            f"--address={self.address}",
            "--dashboard-agent-listen-port=0",
            *(() if memory is None else (f"--memory={memory}",)),
            environment=environment or {},
            prefix=prefix,
        )

    def drain(self, node: RayNode) -> None:
        """Say that a node is to be taken away in ten minutes, as a cloud does of a spot machine."""
        options = ("--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=spot")
        deadline = "--deadline-remaining-seconds=600"
        command = [
            _RAY,
            "drain-node",
            f"--address={self.address}",
            f"--node-id={node.id}",
            *options,
            deadline,
        ]
        subprocess.run(command, env=self.environment, cwd=self.folder, check=True)

    def close(self) -> None:
        """End all nodes, the head last."""
        for node in reversed(self.nodes):
            node.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(
        self,
        cpus: int,
        *options: str,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> RayNode:
        # A folder of its own, as on machines of their own: a node that joins unpacks shipped code anew, and
        # would do so under the workers of the others.
        room = self.folder / str(len(self.nodes))
        room.mkdir()
        log = room / "start.log"
        ports = ("--min-worker-port=0", "--max-worker-port=0")
        settings = (
            f"--temp-dir={room}",
            f"--num-cpus={cpus}",
            *ports,
            "--include-log-monitor=false",
            "--block",
        )
        with log.open("wb") as output:
            start = subprocess.Popen(
                [*prefix, str(_RAY), "start", *options, *settings, f"--object-store-memory={100 * 2**20}"],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**self.environment, **(environment or {})},
                cwd=self.folder,
                start_new_session=True,
            )
        self.nodes.append(RayNode(start, log))
        return self.nodes[-1]
