"""A made world: machines with clocks of their own, processes that can be stopped, and an unreliable store.

Processes are coroutines (greenlets). Each stops at every call to the storage and goes on when the world lets
it, so that a history is a list of decisions: who goes on, what becomes of its call, who is killed. The code
of the program runs as it is; time, names, process numbers and storage are the world's (``simulated``).
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Literal
from unittest import mock

import torch
from greenlet import getcurrent, greenlet
from obstore.exceptions import AlreadyExistsError, PreconditionError

from assay.storage import Store
from assay.storage.files.conditional import ObjectSwaps
from trainables.errors import StorageError

__all__ = ["Fate", "Killed", "Process", "SimulatedStore", "World", "simulated"]

CALL_SECONDS = 0.05
SLOW_SECONDS = 45.0

Fate = Literal["well", "lost", "unanswered", "twice", "slow", "412", "killed before", "killed after"]


class Killed(BaseException):
    """``kill -9`` of a process, at the call in which it is."""


@dataclass
class Machine:
    """A computer: its clock may be wrong."""

    name: str
    skew: float = 0.0  # seconds that its clock is ahead


@dataclass
class Process:
    """An operating system's process: one or more threads that end together."""

    pid: int
    machine: Machine
    what: str
    threads: list[greenlet] = field(default_factory=list)
    wake: dict[greenlet, float] = field(default_factory=dict)  # thread → time until which it sleeps
    alive: bool = True
    stopped: bool = False  # SIGSTOP
    fate: Fate = "well"  # of its next call
    error: BaseException | None = None  # with which it ended

    @property
    def ready(self) -> bool:
        return self.alive and not self.stopped


@dataclass
class Late:
    """A write that arrives a second time."""

    at: float
    path: str
    data: bytes


# Called with: call, path, before, after, who.
Watcher = Callable[[str, str, "bytes | None", "bytes | None", Process], None]


class World:
    """Time, processes and objects; ``watch`` is called at every change of an object."""

    def __init__(self, watch: Watcher) -> None:
        self.now = 1_000_000.0  # Unix time of the world
        self.objects: dict[str, tuple[bytes, int]] = {}  # content and version
        self.processes: list[Process] = []
        self.machines = [Machine("north"), Machine("south")]
        self.late: list[Late] = []
        self.calls = 0
        self.watch = watch
        self._names = 0
        self._versions = 0
        self._main = getcurrent()

    # Processes ---------------------------------------------------------------------------------------

    @property
    def current(self) -> Process | None:
        """The process that runs now; None: the world itself."""
        me = getcurrent()
        return next((process for process in self.processes if me in process.threads), None)

    def start(self, what: str, machine: Machine, run: Callable[[Process], None]) -> Process:
        """A new process, which begins when it is first stepped."""
        process = Process(100 + len(self.processes), machine, what)
        self.processes.append(process)
        self.thread(process, lambda: run(process))
        return process

    def thread(self, process: Process, run: Callable[[], None]) -> None:
        """One more thread of a process; the process ends with its first one."""
        first = not process.threads

        def body() -> None:
            try:
                run()
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001 - looked at by who started it
                process.error = error
            if first:
                process.alive = False

        process.threads.append(greenlet(body, parent=self._main))

    def step(self, process: Process) -> bool:
        """Let the process go on to its next call, all of its threads that are awake; False: all sleep."""
        moved = False
        for thread in list(process.threads):
            if process.ready and not thread.dead and process.wake.get(thread, 0.0) <= self.now:
                moved = True
                thread.switch()
        self._deliver()
        return moved

    def kill(self, process: Process) -> None:
        """``kill -9``: nothing that the process still has to do is done."""
        process.alive = False
        for thread in process.threads:
            if thread and not thread.dead:
                thread.throw(Killed)

    def pass_time(self, seconds: float) -> None:
        """Let time pass while nobody does anything."""
        self.now += seconds
        self._deliver()

    def until_awake(self) -> float | None:
        """Seconds until the first sleeper wakes; None: nobody sleeps."""
        times = [
            process.wake.get(thread, self.now)
            for process in self.processes
            if process.ready
            for thread in process.threads
            if not thread.dead
        ]
        return max(0.0, min(times) - self.now) if times else None

    # What a process is given ---------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        """Sleep in the current thread."""
        process = self.current
        assert process is not None, "the world does not sleep"
        process.wake[getcurrent()] = self.now + max(0.0, seconds)
        self._yield(process)

    def wall(self) -> float:
        """Unix time on the clock of the current process' machine."""
        process = self.current
        return self.now + (process.machine.skew if process is not None else 0.0)

    def name(self, length: int) -> str:
        """A name that nobody has, for ``secrets.token_hex``."""
        self._names += 1
        return f"{self._names:0{2 * length}x}"

    def _yield(self, process: Process) -> None:
        if not process.alive:
            raise Killed
        random = torch.get_rng_state()  # each process has random numbers of its own
        self._main.switch()
        torch.set_rng_state(random)
        if not process.alive:
            raise Killed

    # The storage ---------------------------------------------------------------------------------------

    def call(self, effect: Callable[[], Any], again: Late | None = None) -> Any:
        """One request to the storage, with what the world has in mind for it."""
        process = self.current
        if process is None:
            return effect()
        self._yield(process)
        self.calls += 1
        fate, process.fate = process.fate, "well"
        self.now += CALL_SECONDS
        match fate:
            case "killed before":
                self._end(process)
            case "lost":
                raise StorageError(f"the storage does not answer (call {self.calls})")
            case "slow":
                self.sleep(SLOW_SECONDS)
        answer = effect()
        match fate:
            case "killed after":
                self._end(process)
            case "unanswered":
                raise StorageError(f"the storage does not answer any more (call {self.calls})")
            case "twice" if again is not None:
                self.late.append(again)
            case "412":  # the answer was lost, and the client sent the request again
                answer = effect()
        return answer

    def _end(self, process: Process) -> None:
        """Kill the current process, which is in a call."""
        process.alive = False
        for thread in process.threads:
            if thread is not getcurrent() and thread and not thread.dead:
                thread.throw(Killed)
        raise Killed

    def put(self, path: str, data: bytes, call: str = "write") -> int:
        """Write an object; returns its version."""
        before = self.objects.get(path)
        who = self.current or self.processes[0]
        self._versions += 1
        self.objects[path] = data, self._versions
        self.watch(call, path, before and before[0], data, who)
        return self._versions

    def remove(self, path: str) -> None:
        """Delete an object, or all below a folder."""
        for name in [name for name in self.objects if name == path or name.startswith(f"{path}/")]:
            before = self.objects.pop(name)
            self.watch("delete", name, before[0], None, self.current or self.processes[0])

    def _deliver(self) -> None:
        for late in [late for late in self.late if late.at <= self.now]:
            self.late.remove(late)
            self.put(late.path, late.data, "late write")


class Client:
    """The world's objects as obstore's client shows them: conditions are kept."""

    def __init__(self, world: World) -> None:
        self._world = world

    def get(self, path: str) -> Any:
        def effect() -> Any:
            if path not in self._world.objects:
                raise FileNotFoundError(path)
            data, version = self._world.objects[path]
            meta = {"e_tag": f'"{version}"', "version": None}
            return types.SimpleNamespace(bytes=lambda: data, meta=meta)

        return self._world.call(effect)

    def put(self, path: str, data: bytes, mode: Any) -> Any:
        def effect() -> Any:
            current = self._world.objects.get(path)
            if mode == "create" and current is not None:
                raise AlreadyExistsError(path)
            if mode != "create" and (current is None or mode["e_tag"] != f'"{current[1]}"'):
                raise PreconditionError(path)
            return {"e_tag": f'"{self._world.put(path, data, "swap")}"', "version": None}

        return self._world.call(effect)


class SimulatedStore(Store):
    """A store on the world's objects."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.local_path = self._folder = None
        self.uri = "sim://bucket"
        self.__dict__["swaps"] = ObjectSwaps(Client(world), lambda action: action())

    def read_bytes(self, path: str) -> bytes:
        def effect() -> bytes:
            if path not in self.world.objects:
                raise FileNotFoundError(path)
            return self.world.objects[path][0]

        return self.world.call(effect)

    def write_bytes(self, path: str, data: bytes) -> str:
        self.state_format()
        late = Late(self.world.now + 20.0, path, data)
        self.world.call(lambda: self.world.put(path, data), again=late)
        return hashlib.sha256(data).hexdigest()

    def exists(self, path: str) -> bool:
        return self.world.call(lambda: any(_is_in(name, path) for name in self.world.objects))

    def list(self, path: str = "") -> list[str]:
        def effect() -> list[str]:
            prefix = f"{path}/" if path else ""
            below = [name[len(prefix) :] for name in self.world.objects if name.startswith(prefix)]
            return sorted({f"{name.partition('/')[0]}/" if "/" in name else name for name in below})

        return self.world.call(effect)

    def size(self, path: str) -> int:
        return sum(len(data) for name, (data, _) in self.world.objects.items() if _is_in(name, path))

    def delete_tree(self, path: str) -> None:
        self.world.call(lambda: self.world.remove(path))


def _is_in(name: str, path: str) -> bool:
    return name == path or name.startswith(f"{path}/")


@contextmanager
def simulated(world: World) -> Generator[None]:
    """Within the block the program's time, names, processes and threads are the world's."""
    from assay_toy import training

    from assay.engine.worker import checkpoints, stages, trial, trial_log
    from assay.engine.worker import train_trials as train_trials_module
    from assay.storage import lease, progress, stage_store, store
    from assay.storage.files import conditional

    time = types.SimpleNamespace(
        time=world.wall, monotonic=lambda: world.now, sleep=world.sleep, strftime=lambda *_: "then",
        localtime=lambda _: None, time_ns=lambda: int(world.wall() * 1e9),
    )  # fmt: skip

    # A pool of threads that has one: the world decides who goes on.
    one_by_one = types.SimpleNamespace(map=lambda function, items: map(function, list(items)))

    class Moment(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.fromtimestamp(world.wall(), tz)

    def this_machine() -> str:
        process = world.current
        return process.machine.name if process is not None else "nowhere"

    def process_start(pid: int) -> str:
        return next((str(pid) for process in world.processes if process.pid == pid and process.alive), "")

    def getpid() -> int:
        process = world.current
        return process.pid if process is not None else 1

    replaced: list[tuple[Any, str, Any]] = [
        *((module, "time", time) for module in (trial_log, checkpoints, trial, stages, training)),
        *((module, "time", time) for module in (progress, lease, conditional)),
        *((module, "datetime", Moment)
          for module in (store, train_trials_module, trial_log, lease, stage_store)),
        *((module, "secrets", types.SimpleNamespace(token_hex=world.name, token_bytes=bytes))
          for module in (store, lease, stage_store, conditional)),
        (store, "ThreadPoolExecutor", lambda _: nullcontext(one_by_one)),
        (lease, "this_machine", this_machine), (lease, "process_start", process_start),
        (lease, "os", types.SimpleNamespace(getpid=getpid)),
        (lease, "socket", types.SimpleNamespace(gethostname=this_machine)),
    ]  # fmt: skip
    with ExitStack() as patches:
        for module, name, new in replaced:
            patches.enter_context(mock.patch.object(module, name, new))
        yield
