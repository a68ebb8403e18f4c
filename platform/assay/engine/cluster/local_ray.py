"""Ray on this machine for one run: started with patience, watched while it works, ended whole.

``ray.init(address="local")`` waits in C++, where no signal is heard, and gives a busy machine 30 s. Here
Ray's processes are those of a child (``ray_head.py``): waiting for it can be interrupted at any moment, the
patience grows with the load, and a start that fails is tried again, when all files are in memory.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Self

from assay.engine.cluster import ray_head
from trainables.errors import InputError

__all__ = ["DRIVER_SETTINGS", "LocalRay", "patience"]

# Of the process that joins a Ray that it started, and of that Ray's processes.
DRIVER_SETTINGS = {
    "RAY_AUTH_MODE": "token",
    # One token for all Rays of this process, because it reads it when it loads Ray.
    "RAY_AUTH_TOKEN": secrets.token_hex(16),
    # Longer than the end of a run whose gcs_server died: Ray would end the process without a word.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
    ray_head.ONE_MACHINE: "0",
}
_TRIES = 3
_PATIENCE_SECONDS = (60.0, 600.0)  # of one try: on an idle machine, and at most
_END_SECONDS = 10.0
_POLL_SECONDS = 0.2
_OBJECT_STORE_BYTES = 200 * 2**20  # images are memory-mapped files: Ray's own store carries almost nothing
_PREFIX = "assay-ray-"
_LOG = "head.log"  # what the child and Ray write to stderr while they start
_ALIVE = "alive"  # a file that the child keeps locked: a folder without is left behind
_ABANDONED_SECONDS = 60.0  # a folder of this age that has no such file
_SOCKET_BYTES = 107  # of a socket's path, by the kernel
_SOCKET = f"/{_PREFIX}xxxxxxxx/ray/session_2026-11-29_12-00-00_000000_0000000/sockets/plasma_store"
_START_VARIABLE = (
    "ASSAY_RAY_START"  # "public": of the tests, which start Ray as on a release that moved names
)
# Ray's own patience with its processes, beyond ours: the child watches them.
_SETTINGS = {
    # Train asks a dashboard for the state of its controller. There is none: refused at once, a run ends 7 to
    # 10 s earlier than if Ray looked for the dashboard's address.
    "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:1",
    "RAY_raylet_start_wait_time_s": "5",
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_health_check_failure_threshold": "100",
    # The raylet answers the run at once and not when the first workers are there: should it die before it
    # answered, Ray's C++ would end the run without a word.
    "RAY_prestart_worker_first_driver": "0",
    "RAY_enable_worker_prestart": "1",
    # Tune reserves all cores before it asks for a process, and Ray ends those for which no core is free after
    # a second: it would start others in their place.
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
    # The kernel ends the process that takes the memory, a training, and its worker says so. Ray's own monitor
    # would end the worker.
    "RAY_memory_monitor_refresh_ms": "0",
}


def patience(load: float | None = None, cores: int | None = None) -> float:
    """Seconds that a start may take when ``load`` processes want ``cores`` cores; default: now, here."""
    load = os.getloadavg()[0] if load is None else load
    least, most = _PATIENCE_SECONDS
    return min(most, least * max(1.0, load / (cores or len(os.sched_getaffinity(0)))))


@dataclass
class LocalRay:
    """Ray's processes on this machine, for as long as this process wants them."""

    folder: Path
    child: subprocess.Popen[bytes]
    address: str = ""
    lost: str | None = None  # which process ended, and how; set once all have been ended
    on_loss: Callable[[str], None] = field(default=lambda reason: None)
    _events: queue.Queue[dict[str, str]] = field(default_factory=queue.Queue[dict[str, str]])
    _ending: bool = False

    def __post_init__(self) -> None:
        self._listener = threading.Thread(target=self._listen, name="assay-ray", daemon=True)

    @classmethod
    def start(cls, cpus: int | None, say: Callable[[str], None] = lambda text: None) -> Self:
        """Start Ray with ``cpus`` cores (default: all), and wait until it can be used.

        Raises:
            InputError: If it does not start within three tries, or no folder can hold its sockets.
        """
        cores = len(os.sched_getaffinity(0))
        why = ""
        slow = False

        # A first start reads Ray from the disk and may be too slow. The next one finds its files in memory,
        # so it is tried again before the run gives up.
        for turn in range(1, _TRIES + 1):
            load = os.getloadavg()[0]
            say(_starting(turn, load, cores))
            ray = cls._begin(cpus or cores, _public_reason(turn))
            try:
                why, slow = ray._wait(patience(load, cores), say)
            finally:
                if not ray.address:
                    ray.end()
            if ray.address:
                return ray

        # Only a machine that was too busy is worth waiting for: any other fault would be there again.
        advice = "Train without Ray: `assay run STUDY --local`."
        if slow:
            load = f"The load is {os.getloadavg()[0]:.0f} on {cores} core(s)"
            advice = (
                f"{load}: run again when less is running, or train without Ray: `assay run STUDY --local`."
            )
        reason = f"did not in {_TRIES} tries ({why})"
        raise InputError(f"Ray starts on this machine before a study trains, and {reason}. {advice}")

    @classmethod
    def _begin(cls, cpus: int, public: str = "") -> Self:
        """Start the child, ``public``: why it shall start Ray the public way; empty: only if it must."""
        folder = _new_folder()

        # The child inherits the lock and holds it as long as it lives, even if this process is killed. So a
        # later run can tell which folders were left behind.
        with (folder / _ALIVE).open("w") as alive, (folder / _LOG).open("wb") as log:
            fcntl.flock(alive, fcntl.LOCK_EX)
            child = subprocess.Popen(
                # -P: the modules beside the program are not to be found by their bare names.
                [sys.executable, "-P", str(Path(ray_head.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                pass_fds=[alive.fileno()],
                env={**os.environ, **_SETTINGS, **DRIVER_SETTINGS},
            )
        ray = cls(folder, child)

        # The settings go through a pipe that stays open: when it ends, the child knows that the run is gone.
        settings = {"cpus": cpus, "memory": _OBJECT_STORE_BYTES, "folder": str(folder), "public": public}
        assert child.stdin is not None
        with suppress(BrokenPipeError):  # it ended already: its output says so
            child.stdin.write(json.dumps(settings).encode() + b"\n")
            child.stdin.flush()
        ray._listener.start()
        return ray

    def _wait(self, seconds: float, say: Callable[[str], None] = lambda text: None) -> tuple[str, bool]:
        """Wait for the address; returns what stood in the way, and if it was the time."""
        # What is being started is remembered, so that the user is told what took too long.
        until, begun = time.monotonic() + seconds, "its program"
        while time.monotonic() < until:
            try:
                event = self._events.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if event["event"] == "ready":
                self.address = event["address"]
                return "", False
            if event["event"] == "ended":
                return f"{event['what']} ended: {event['why']}", False
            if event["event"] == "public":
                say(_slower(event["what"]))
            else:
                begun = event["what"]
        return f"{begun} was not ready after {seconds:.0f} s", True

    def _listen(self) -> None:
        """Take what the child says; whatever ends while it should not is a loss."""
        assert self.child.stdout is not None
        ended: dict[str, str] | None = None
        with self.child.stdout:
            for line in self.child.stdout:
                event: dict[str, str] = json.loads(line)
                if event["event"] == "ended":
                    ended = ended or event  # the first is the cause, and what follows its consequence
                else:
                    self._events.put(event)

        # The pipe has ended. A child that said nothing before was killed, and cannot have tidied up.
        ended = ended or {"event": "ended", "what": "the process that keeps the others", "why": self._error()}
        self._sweep()
        self._events.put(ended)
        if self.address and not self._ending:
            self.lost = f"{ended['what']} of Ray ended ({ended['why']})"
            self.on_loss(self.lost)

    def _error(self) -> str:
        """The last line of the child's errors."""
        with suppress(OSError):
            lines = (self.folder / _LOG).read_text(encoding="utf-8", errors="replace").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "killed or failed")
        return "killed or failed"

    def end(self) -> None:
        """End all of Ray's processes and remove their folder; harmless when they ended already."""
        # From here on the end of Ray is no loss, as `_listen` sees by this. The child ends all others when
        # its input closes.
        self._ending = True
        assert self.child.stdin is not None
        with suppress(OSError):
            self.child.stdin.close()
        self._listener.join(_END_SECONDS)
        try:
            self.child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
        self._sweep()

    def _sweep(self) -> None:
        """Kill what is left, and remove the folder: the child does so itself unless it was killed."""
        ray_head.kill_session(self.child.pid)
        shutil.rmtree(self.folder, ignore_errors=True)


def _starting(turn: int, load: float, cores: int) -> str:
    text = "starting Ray" if turn == 1 else f"starting Ray, try {turn} of {_TRIES}"
    return text if load <= 2 * cores else f"{text} (a load of {load:.0f} on {cores} core(s) makes it slow)"


def _public_reason(turn: int) -> str:
    """Say why a try shall start Ray the public way; empty: only if it must.

    A release that nobody tried may have all names that the lean start uses, and use them otherwise.
    """
    if os.environ.get(_START_VARIABLE) == "public":
        return f"{_START_VARIABLE}=public"
    untried = version("ray") not in ray_head.TRIED
    return "its quick start failed" if untried and turn == _TRIES else ""


def _slower(reason: str) -> str:
    return f"Ray {version('ray')} is started the public way ({reason}): it takes some 4 s and 0.2 GB more"


def _new_folder() -> Path:
    """A folder that only this user can look into, where a socket's path is short enough.

    Raises:
        InputError: If there is none.
    """
    tried: list[str] = []

    # The kernel limits a socket's path, and Ray's own part of it is long: the first folder that is short
    # enough and can be written is taken.
    for base in dict.fromkeys((os.environ.get("TMPDIR") or "/tmp", "/tmp", "/dev/shm", "/var/tmp")):
        if len(os.fsencode(base + _SOCKET)) > _SOCKET_BYTES:
            tried.append(f"{base} (too long)")
            continue
        try:
            _forget_abandoned(Path(base))
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        except OSError as error:
            tried.append(f"{base} ({error.strerror})")
    most = _SOCKET_BYTES - len(_SOCKET)
    raise InputError(
        f"Ray's sockets need a folder that can be written, with a path of at most {most} characters, found "
        f"{', '.join(tried)}. Set TMPDIR to one."
    )


def _forget_abandoned(base: Path) -> None:
    """Remove folders of this user whose child was killed together with its run."""
    for folder in base.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = folder / _ALIVE

            # The folder is made before its lock: a young one without belongs to a run that is just starting.
            if not lock.exists():
                if time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
                continue

            # A lock that can be had belongs to a child that is dead. One that is held raises, and its folder
            # stays.
            with lock.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
