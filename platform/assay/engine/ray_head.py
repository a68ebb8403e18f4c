"""A program: Ray's own processes on this machine, as children of one process that is watched and ended.

``assay run`` starts it (``local_ray.py``) in a session of its own, so that a signal to the run's process
group does not reach Ray, and writes one JSON object to its standard input: ``cpus``, ``memory`` (bytes of
the object store), ``folder`` (for sockets and logs). It answers in JSON lines: what starts, the address when
all is ready, and what ended. When its standard input is closed, because the run ended, was killed, or asks
for it, it kills all processes of its session and removes the folder.

Ray starts four helpers in Python that a run on one machine does not need (dashboard, its agent, log monitor,
autoscaler). A busy machine imports them for minutes, while the raylet gives its agent 15 s and then aborts,
and three of them open ports to everybody. Here they are left out. The one helper that is needed (runtime
environments) is given its port, so that the raylet does not wait for it. Uses of Ray's internals (2.60) are
in this file, in ``ray_connect.py`` and in ``train.py``. This one imports nothing of assay, to start quickly.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from traceback import format_exception_only
from typing import Any

__all__ = ["free_ports", "is_alive", "kill_session"]

LOOPBACK = "127.0.0.1"  # with this address Ray's processes listen nowhere else
_POLL_SECONDS = 0.1
_RETRY_SECONDS = 0.5
_TURN_MILLISECONDS = 20
_REASON_CHARACTERS = 300
_KILL_SECONDS = 10.0  # a process that waits for a disk in the kernel dies when the disk answers
# Ports of the agent that is left out. They must be given and differ; nobody listens on them.
_NO_AGENT: dict[str, Any] = {
    "metrics_agent_port": 1,
    "metrics_export_port": 2,
    "dashboard_agent_listen_port": 3,
}
# Above those of Ray's workers, below those that Linux gives to connections and to servers that ask for any.
_FREE_PORTS = range(32_000, 32_768)
_STAND_IN = "DashboardAgent"  # in its place: this program, with this argument
# In commands and titles of the raylet's children.
_AGENTS = ("RuntimeEnvAgent", "runtime_env", "DashboardAgent")


def stand_in(folder: Path) -> None:
    """Wait for the raylet's end; if the process that keeps the others was killed too, end them."""
    raylet = os.getppid()
    while os.getppid() == raylet:
        time.sleep(_RETRY_SECONDS)
    leader = os.getsid(0)
    if not is_alive(leader):
        kill_session(leader)
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Start Ray, say so, and stay until the run or one of Ray's processes ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: None)  # not ignored: that would be inherited
    settings = json.loads(sys.stdin.readline())
    lifeline = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    head = _Head(Path(settings["folder"]))
    threading.Thread(target=head.end_with, args=(lifeline, os.getppid()), daemon=True).start()
    threading.Thread(target=head.watch, daemon=True).start()
    try:
        head.say(event="ready", address=head.start(settings["cpus"], settings["memory"]))
    except Exception as error:  # noqa: BLE001 - said to the run, which decides
        reason = " ".join("".join(format_exception_only(error)).split())[:_REASON_CHARACTERS]
        head.fail("the start", reason)
    while True:  # not a thread of its own: the kernel ends Ray's processes with the thread that started them
        signal.pause()


class _Head:
    """Ray's processes as they are started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._agents: dict[int, str] = {}  # of the raylet: it ends when one of them does
        self._lock = threading.Lock()
        self._failing = threading.Lock()  # taken once, by the first thing that goes wrong

    def start(self, cpus: int, memory: int) -> str:
        """Start gcs_server and raylet; returns the address when the node is registered and can be used."""
        from ray._private import node, services
        from ray._private.parameter import RayParams

        class Lean(node.Node):
            def start_api_server(self, **_: Any) -> None:
                self._webui_url = ""

        self._patch(node, services)
        [agent_port] = free_ports(1)
        settings: dict[str, Any] = {**_NO_AGENT, "include_log_monitor": False}  # declared as other types
        parameters = RayParams(
            node_ip_address=LOOPBACK,
            num_cpus=cpus,
            object_store_memory=memory,
            include_dashboard=False,
            no_monitor=True,
            temp_dir=str(self._folder / "ray"),  # Ray opens it to everybody; what is above it is only ours
            session_name="session",
            runtime_env_agent_port=agent_port,
            **settings,
        )
        started = Lean(parameters, head=True, shutdown_at_exit=False, spawn_reaper=True)
        while not _answers(agent_port):
            time.sleep(_RETRY_SECONDS)
        return str(started.address)

    def _patch(self, node: Any, services: Any) -> None:
        """Note each process, leave the agent out, and wait for ports and node as long as the run does."""
        start_process, get_node = services.start_ray_process, services.get_node
        wait_for_port = node.wait_for_persisted_port

        def start(command: list[str], kind: str, **options: Any) -> Any:
            self.say(event="starts", what=kind)
            if kind == "raylet":
                command = _without_agent(command, self._folder)
            info = start_process(command, kind, **options)
            self._processes[kind] = info.process
            return info

        # `watch` ends this process when one of Ray's does, and the run when it has no patience.
        def wait_for_node(*arguments: Any) -> Any:
            while True:
                try:
                    return get_node(*arguments)
                except RuntimeError:
                    time.sleep(_RETRY_SECONDS)

        def wait_in_turns(*arguments: Any, timeout_ms: int) -> Any:
            while True:  # in Ray's C++ no thread of this process runs
                try:
                    return wait_for_port(*arguments, timeout_ms=_TURN_MILLISECONDS)
                except RuntimeError:
                    time.sleep(_POLL_SECONDS)

        services.start_ray_process, services.get_node = start, wait_for_node
        node.wait_for_persisted_port = wait_in_turns

    def watch(self) -> None:
        """Say which process ended, and end the others: without one of them Ray hangs for a minute."""
        while True:
            time.sleep(_POLL_SECONDS)
            if (ended := self._ended()) is not None:
                self.fail(*ended)
            raylet = self._processes.get("raylet")
            if raylet is not None and len(self._agents) < 2:
                self._agents |= _agents_of(raylet.pid)

    def fail(self, what: str, why: str) -> None:
        """Say what went wrong first, and end: all that ends from here on is ended by this process.

        A start breaks when one of Ray's processes does, so a process that has ended is the cause.
        """
        with self._failing:
            what, why = self._ended() or (what, why)
            self.say(event="ended", what=what, why=why)
            self.end()

    def _ended(self) -> tuple[str, str] | None:
        """A process that ended, and how. The raylet ends with its agents, and they with the raylet."""
        codes = {kind: process.poll() for kind, process in list(self._processes.items())}
        gone = [name for pid, name in self._agents.items() if not is_alive(pid)]
        if gone and not codes["raylet"]:  # still running, or it ended in order, as it does after an agent
            return f"RuntimeEnvAgent{'' if codes['raylet'] is None else ' or raylet'}", "killed or failed"
        logs = self._folder / "ray" / "session" / "logs"
        return next(
            ((kind, _ending(code) + _last_error(logs, kind)) for kind, code in codes.items() if code is not None),
            None,
        )

    def end_with(self, lifeline: int, run: int) -> None:
        """End when the run closes its end, or is gone while a process of its own still holds that end."""
        threading.Thread(target=self._end_at_close, args=(lifeline,), daemon=True).start()
        while os.getppid() == run:
            time.sleep(_POLL_SECONDS)
        self.end()

    def _end_at_close(self, lifeline: int) -> None:
        while os.read(lifeline, 1):
            pass
        self.end()

    def end(self) -> None:
        """Kill the session's processes, remove the folder, and end."""
        with self._lock:
            kill_session(os.getpid())
            shutil.rmtree(self._folder, ignore_errors=True)
            os._exit(0)

    def say(self, **event: str) -> None:
        try:
            os.write(1, json.dumps(event).encode() + b"\n")
        except OSError:
            return  # nobody listens any more: the lifeline says so too


def _without_agent(command: list[str], folder: Path) -> list[str]:
    """A raylet's command that starts the stand-in, whose port lies where the raylet waits for it."""
    from ray._raylet import persist_port  # pyright: ignore[reportAttributeAccessIssue]

    options = dict(part.split("=", 1) for part in command if "=" in part)
    name = "dashboard_agent_listen_port"
    persist_port(options["--session_dir"], options["--node_id"], name, _NO_AGENT[name])
    program = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), _STAND_IN, str(folder)]
    agent = "--dashboard_agent_command="
    return [agent + subprocess.list2cmdline(program) if part.startswith(agent) else part for part in command]


def free_ports(count: int, host: str = LOOPBACK) -> list[int]:
    """Ports for servers that bind them seconds later: others than this one are not given them meanwhile.

    Raises:
        RuntimeError: If there are fewer.
    """
    ports: list[int] = []
    for port in random.sample(_FREE_PORTS, len(_FREE_PORTS)):
        if len(ports) == count:
            break
        with socket.socket() as probe, suppress(OSError):
            probe.bind((host, port))
            ports.append(port)
    if len(ports) < count:
        span = f"{_FREE_PORTS[0]} to {_FREE_PORTS[-1]}"
        raise RuntimeError(f"Ray needs {count} free ports of {span} on this machine, found {len(ports)}")
    return ports


def _answers(port: int) -> bool:
    with socket.socket() as knock:
        knock.settimeout(1)
        return knock.connect_ex((LOOPBACK, port)) == 0


def _ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _last_error(logs: Path, kind: str) -> str:
    """The error that a process of Ray's gave up with, after a colon; empty if it wrote none."""
    lines: list[str] = []
    for name in (f"{kind}.err", f"{kind}.out"):
        with suppress(OSError):
            lines += (logs / name).read_text(encoding="utf-8", errors="replace").splitlines()
    # Ray marks each line with its severity: C is what a process ends with, E an error before it.
    for severity in ("C", "E"):
        errors = [line for line in lines if re.match(rf"\[[^]]* {severity} [^]]*\]", line)]
        if errors:
            return f": {errors[-1].partition('] ')[2].strip()[:_REASON_CHARACTERS]}"
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {last[:_REASON_CHARACTERS]}" if last else ""


def is_alive(pid: int) -> bool:
    """True while a process runs; one that waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def _agents_of(raylet: int) -> dict[int, str]:
    """The raylet's children that it ends with."""
    agents: dict[int, str] = {}
    # A child that was forked and not yet become its own program has the raylet's command, which names agents.
    forked = _command(raylet)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        command = _command(int(entry.name)) if parent == raylet else forked
        if command != forked and (mark := next((mark for mark in _AGENTS if mark in command), None)):
            agents[int(entry.name)] = "RuntimeEnvAgent" if mark == "runtime_env" else mark
    return agents


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def kill_session(leader: int) -> None:
    """kill -9 every process of the session that ``leader`` began, but this one, until none is left.

    Workers have process groups of their own, and Python processes whose raylet was killed stay: they all
    still are of the session.
    """
    until = time.monotonic() + _KILL_SECONDS
    while (members := _session(leader)) and time.monotonic() < until:
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def _session(leader: int) -> list[int]:
    """The living processes of a session, without the calling one."""
    members: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        try:
            if pid != os.getpid() and os.getsid(pid) == leader and is_alive(pid):
                members.append(pid)
        except ProcessLookupError:
            continue
    return members


if __name__ == "__main__":
    if sys.argv[1:2] == [_STAND_IN]:
        stand_in(Path(sys.argv[2]))
    else:
        main()
