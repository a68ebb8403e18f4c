"""RAY_ADDRESS names no cluster that can be joined from here: said within seconds, in one sentence."""

from __future__ import annotations

import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from assay.engine.cluster import cluster
from assay.engine.interrupts import Ending
from tests.engine.cluster.ray_nodes import RayNodes
from tests.engine.toy_study import ToyStudy
from tests.helpers.ports import free_port
from trainables.errors import InputError

_PATIENCE = 60.0  # seconds, on a busy machine: Ray alone waits for longer where no node runs


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    known = RayNodes(cpus=1)
    yield known
    known.close()


@pytest.fixture
def run(nodes: RayNodes, tmp_path: Path, cache_root: Path) -> Callable[..., tuple[int, str]]:
    """Runs a study of two trials on the cluster, in an environment with changes; code and output."""

    def start(**changes: str) -> tuple[int, str]:
        study = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,))
        file = tmp_path / "toy.yaml"
        file.write_text(study.text)
        known = {**nodes.environment, "RAY_ADDRESS": nodes.address, "HOME": str(tmp_path)}
        ended = subprocess.run(
            [sys.executable, "-m", "assay", "run", str(file), "--storage", str(study.storage)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
            cwd=tmp_path,
            env={**known, "ASSAY_CACHE": str(cache_root), **changes},
        )
        return ended.returncode, ended.stdout + ended.stderr

    return start


@pytest.mark.parametrize("token", ["f" * 32, ""], ids=["another", "none"])
def test_a_cluster_that_refuses_the_token_is_named_at_once(
    run: Callable[..., tuple[int, str]], nodes: RayNodes, token: str
) -> None:
    code, output = run(RAY_AUTH_TOKEN=token)
    assert code == 2, output
    assert (
        f"error: the Ray cluster at RAY_ADDRESS={nodes.address} asks for a token, and refuses this one"
        in output
    )
    assert "Traceback" not in output
    assert output.count("InvalidAuthToken") <= 1  # Ray itself says so once a second


def test_a_machine_without_a_node_of_the_cluster_is_told_so(
    run: Callable[..., tuple[int, str]], nodes: RayNodes
) -> None:
    psutil.Process(nodes.head.start.pid).suspend()  # it would end the head with its raylet
    nodes.head.kill_raylet()
    code, output = run()
    psutil.Process(nodes.head.start.pid).resume()
    assert code == 2, output
    assert "no node of it runs on this machine" in output


class _WebServer(socketserver.BaseRequestHandler):
    """As the cluster's dashboard, whose port is taken for the head's."""

    def handle(self) -> None:
        if self.request.recv(64):
            self.request.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")


def test_the_port_of_a_web_server_is_refused_at_once() -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), _WebServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(InputError, match=r"RAY_ADDRESS is the host:port.*a web server does"):
            cluster._connect(f"127.0.0.1:{server.server_address[1]}")
        server.shutdown()


def test_what_joins_a_cluster_does_not_say_that_it_starts_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    said: list[str] = []
    with pytest.raises(InputError), cluster.cluster(1, Ending(), said.append):
        pass
    assert said == ["joining the Ray that RAY_ADDRESS names"]


def test_a_head_that_goes_while_it_is_joined_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_GONE_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as head:
        check = cluster._head_check(f"127.0.0.1:{head.getsockname()[1]}")
        check()
    with pytest.raises(InputError, match="found one where none answers"):
        check()


_SWALLOWS_CTRL_C = """
import os, signal, sys, threading
from assay.engine.cluster.cluster import cluster
from assay.engine.interrupts import Ending
signal.signal(signal.SIGINT, lambda number, frame: None)
interrupt = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
try:
    with Ending() as ending:
        if sys.argv[1] == "import":
            interrupt.start()
        with cluster(1, ending, lambda text: sys.argv[1] == "join" and interrupt.start()):
            pass
except KeyboardInterrupt:
    print("left", flush=True)
os._exit(0)  # a thread may still wait in Ray's C++
"""


@pytest.mark.parametrize("moment", ["import", "join"])
def test_joining_is_left_although_an_import_swallowed_the_interrupt(moment: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        output = subprocess.check_output(
            [sys.executable, "-c", _SWALLOWS_CTRL_C, moment],
            env={**os.environ, "RAY_ADDRESS": f"127.0.0.1:{silent.getsockname()[1]}"},
            text=True,
            timeout=_PATIENCE,
        )
    assert output.splitlines()[-1] == "left"
