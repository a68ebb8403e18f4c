"""A program: Ray's own processes on this machine, as children of one process that is watched and ended.

``assay run`` starts it (``local_ray.py``) in a session of its own, so that a signal to the run's process
group does not reach Ray, and writes one JSON object to its standard input: ``cpus``, ``memory`` (bytes of
the object store), ``folder`` (for sockets and logs). It answers in JSON lines: what starts, the address when
all is ready, and what ended. When its standard input is closed, because the run ended, was killed, or asks
for it, it kills all processes of its session and removes the folder.

Ray starts four helpers in Python that a run on one machine does not need (dashboard, its agent, log monitor,
autoscaler). A busy machine imports them for minutes, while the raylet gives its agent 15 s and then aborts,
and three of them open ports to everybody. In the lean start they are left out, by names of Ray that are not
its public interface; no other file of assay uses such names. Where a release of Ray has moved one of them,
Ray is started as its users do, with ``ray start``. This file imports nothing of assay, to start quickly.
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
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from traceback import format_exception_only
from typing import Any, NamedTuple

__all__ = [
    "ONE_MACHINE",
    "TRIED",
    "free_ports",
    "is_alive",
    "kill_session",
    "moved",
    "read_environment",
]

TRIED = ("2.55.1", "2.57.0", "2.60.0")  # releases of Ray; all tests ran on the last

# Ray's variable: with 0 it stays on this machine, and takes 127.0.0.1 as it is. Otherwise it would look for
# what listens there at the machine's other address.
ONE_MACHINE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
LOOPBACK = "127.0.0.1"  # with this address Ray's processes listen nowhere else
_POLL_SECONDS = 0.1
_RETRY_SECONDS = 0.5
_TURN_MILLISECONDS = 20
_REASON_CHARACTERS = 300
_IN_ORDER = "exit code 0"
_UNKNOWN = "killed or failed"
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
    """Wait for the end of what started this; if the process that keeps the others was killed, end them."""
    parent = os.getppid()
    while os.getppid() == parent:
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

    # Ray's processes get an empty standard input. The pipe from the run moves to a descriptor that they do
    # not inherit: its end says that the run is gone.
    lifeline = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    head = _Head(Path(settings["folder"]))

    # Both watches stand before anything is started: a run that ends meanwhile leaves nothing behind.
    threading.Thread(target=head.end_with, args=(lifeline, os.getppid()), daemon=True).start()
    threading.Thread(target=head.watch, daemon=True).start()
    try:
        # A release that has moved one of the names is started in its public way, which is slower and always
        # works.
        problem = settings["public"] or next(iter(moved()), "")
        if problem:
            head.say(event="public", what=problem)
        start = head.start_public if problem else head.start_lean
        head.say(event="ready", address=start(settings["cpus"], settings["memory"]))
    except Exception as error:  # noqa: BLE001 - said to the run, which decides
        reason = " ".join("".join(format_exception_only(error)).split())[:_REASON_CHARACTERS]
        head.fail("the start", reason)
    while True:  # not a thread of its own: the kernel ends Ray's processes with the thread that started them
        signal.pause()


class _Head:
    """Ray's processes as they are started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs = folder / "ray" / "session" / "logs"
        self._endings: dict[str, Callable[[], str | None]] = {}  # how each process ended; None: it runs
        self._raylet: int | None = None
        self._agents: dict[int, str] = {}  # of the raylet: it ends when one of them does
        self._lock = threading.Lock()
        self._failing = threading.Lock()  # taken once, by the first thing that goes wrong

    def start_public(self, cpus: int, memory: int) -> str:
        """Start Ray with ``ray start``; returns the address when the node is registered and can be used."""
        # The guard ends all, should this process be killed; the lean start has a stand-in below the raylet.
        subprocess.Popen(_stand_in_command(self._folder))
        port, client = free_ports(2)
        self.say(event="starts", what="`ray start`")
        started = subprocess.run(
            [
                str(Path(sys.executable).with_name("ray")),
                "start",
                "--head",
                f"--node-ip-address={LOOPBACK}",
                f"--port={port}",
                f"--ray-client-server-port={client}",
                "--dashboard-agent-listen-port=0",
                "--min-worker-port=0",
                "--max-worker-port=0",
                "--include-dashboard=false",
                "--include-log-monitor=false",
                "--disable-usage-stats",
                f"--num-cpus={cpus}",
                f"--object-store-memory={memory}",
                f"--temp-dir={self._folder / 'ray'}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if started.returncode:
            raise RuntimeError(started.stdout.strip()[-_REASON_CHARACTERS:])

        # `ray start` returns and leaves its processes to themselves. They are looked up in this session, so
        # that the watch knows them as it knows those of the lean start.
        self._logs = self._folder / "ray" / "session_latest" / "logs"
        for pid in _session(os.getpid()):
            with suppress(OSError):  # one that has just ended
                kind = Path(f"/proc/{pid}/comm").read_text().strip()
                if kind in ("gcs_server", "raylet"):
                    self._endings[kind] = partial(_ending_of_other, pid)
                    self._raylet = pid if kind == "raylet" else self._raylet
        if self._raylet is not None:
            self._agents |= _agents_of(self._raylet)
        return f"{LOOPBACK}:{port}"

    def start_lean(self, cpus: int, memory: int) -> str:
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

        # A registered node cannot start workers before its agent for their environments answers.
        while not _answers(agent_port):
            time.sleep(_RETRY_SECONDS)
        return str(started.address)

    def _patch(self, node: Any, services: Any) -> None:
        """Note each process, leave the agent out, and wait for ports and node as long as the run does."""
        start_process, get_node = services.start_ray_process, services.get_node
        wait_for_port = node.wait_for_persisted_port

        # Each process of Ray's passes here as it starts: the run hears what it is waiting for, and the watch
        # knows what to look after.
        def start(command: list[str], kind: str, **options: Any) -> Any:
            self.say(event="starts", what=kind)
            if kind == "raylet":
                command = _without_agent(command, self._folder)
            info = start_process(command, kind, **options)
            self._endings[kind] = partial(_ending_of_child, info.process)
            if kind == "raylet":
                self._raylet = info.process.pid
            return info

        # `watch` ends this process when one of Ray's does, and the run when it has no patience.
        def wait_for_node(*arguments: Any) -> Any:
            while True:
                try:
                    return get_node(*arguments)
                except RuntimeError:
                    time.sleep(_RETRY_SECONDS)

        def wait_in_turns(*arguments: Any, timeout_ms: int = 0) -> Any:
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
            if self._raylet is not None and len(self._agents) < 2:
                self._agents |= _agents_of(self._raylet)

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
        endings = {kind: ending() for kind, ending in list(self._endings.items())}
        gone = [name for pid, name in self._agents.items() if not is_alive(pid)]
        # The raylet still runs, or it ended in order, as it does after an agent. How one ended that is no
        # child of this process is not known.
        if gone and endings["raylet"] in (None, _IN_ORDER, _UNKNOWN):
            return f"RuntimeEnvAgent{'' if endings['raylet'] is None else ' or raylet'}", _UNKNOWN
        for kind, ending in endings.items():
            if ending is not None:
                killed = ending in ("killed by SIGKILL", "killed by SIGTERM", _UNKNOWN)
                return kind, ending + ("" if killed else _last_error(self._logs, kind))
        return None

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
    program = subprocess.list2cmdline(_stand_in_command(folder))
    agent = "--dashboard_agent_command="
    return [agent + program if part.startswith(agent) else part for part in command]


def _stand_in_command(folder: Path) -> list[str]:
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), _STAND_IN, str(folder)]


class _Name(NamedTuple):
    """A name of Ray's that is not public, and the parameters with which it is called or replaced."""

    module: str
    name: str  # with a dot: an attribute of a class
    parameters: tuple[str, ...] = ()

    @property
    def problem(self) -> str | None:
        """The fault of the installed Ray; None: it has this as it was."""
        path = f"{self.module}.{self.name}"
        try:
            part: Any = import_module(self.module)
        except ImportError as error:
            return f"{path}: no module {self.module} ({error})"
        for name in self.name.split("."):
            if not hasattr(part, name):
                return f"{path} is gone"
            part = getattr(part, name)
        lacking = [name for name in self.parameters if name not in signature(part).parameters]
        return f"{path} takes no {', '.join(lacking)} any more" if lacking else None


_LEAN = (  # what the lean start uses
    _Name("ray._private.node", "Node", ("ray_params", "head", "shutdown_at_exit", "spawn_reaper")),
    _Name("ray._private.node", "Node.address"),
    _Name("ray._private.node", "Node.start_api_server", ("include_dashboard", "raise_on_failure")),
    _Name("ray._private.node", "wait_for_persisted_port", ("timeout_ms",)),
    _Name(
        "ray._private.parameter",
        "RayParams",
        (
            "node_ip_address",
            "num_cpus",
            "object_store_memory",
            "include_dashboard",
            "include_log_monitor",
            "no_monitor",
            "temp_dir",
            "session_name",
            "runtime_env_agent_port",
            *_NO_AGENT,
        ),
    ),
    _Name("ray._private.services", "get_node", ("gcs_address", "node_id")),
    _Name("ray._private.services", "start_ray_process", ("command", "process_type")),
    _Name("ray._raylet", "persist_port", ("dir", "node_id", "port_name", "port")),
)
_REREAD = (  # what `read_environment` uses
    _Name("ray._private.ray_constants", "ENABLE_RAY_CLUSTER"),
    _Name("ray._raylet", "AuthenticationTokenLoader.instance"),
    _Name("ray._raylet", "AuthenticationTokenLoader.reset_cache"),
    _Name("ray._raylet", "Config.initialize", ("config_list",)),
)


def moved() -> list[str]:
    """List what the lean start uses and the installed Ray no longer has, each with what is wrong."""
    return [problem for name in _LEAN if (problem := name.problem) is not None]


def free_ports(count: int, host: str = LOOPBACK) -> list[int]:
    """Ports for servers that bind them seconds later: others than this one are not given them meanwhile.

    Raises:
        RuntimeError: If there are fewer.
    """
    ports: list[int] = []

    # The order is random, since several runs on a machine may look at the same moment, and would all find the
    # lowest port free.
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


def _ending_of_child(process: subprocess.Popen[bytes]) -> str | None:
    """Say how a process ended; None: it runs."""
    code = process.poll()
    if code is None:
        return None
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _ending_of_other(pid: int) -> str | None:
    return None if is_alive(pid) else _UNKNOWN


def _last_error(logs: Path, kind: str) -> str:
    """The error that a process of Ray's gave up with, after a colon; empty if it wrote none."""
    lines: list[str] = []
    for name in (f"{kind}.out", f"{kind}.err"):
        with suppress(OSError):
            lines += (logs / name).read_text(encoding="utf-8", errors="replace").splitlines()
    # Ray marks each line with its severity: C is what a process ends with, E an error before it. What has no
    # mark is of the system, as of a library that cannot be loaded.
    for mark in (r"\[[^]]* C [^]]*\]", r"\[[^]]* E [^]]*\]", r"[^\[\s]"):
        errors = [re.sub(r"^\[[^]]*\]( \([^)]*\))?", "", line) for line in lines if re.match(mark, line)]
        if errors:
            return f": {errors[-1].strip()[:_REASON_CHARACTERS]}"
    return ""


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


def read_environment() -> bool:
    """Have the Ray that this process has loaded read the environment again, which it does only once.

    Returns:
        False where this release of Ray cannot be asked.
    """
    if any(name.problem for name in _REREAD):
        return False
    from ray._private import ray_constants
    from ray._raylet import AuthenticationTokenLoader, Config  # pyright: ignore[reportAttributeAccessIssue]

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
    ray_constants.ENABLE_RAY_CLUSTER = os.environ.get(ONE_MACHINE) != "0"
    return True


if __name__ == "__main__":
    if sys.argv[1:2] == [_STAND_IN]:
        stand_in(Path(sys.argv[2]))
    else:
        main()
