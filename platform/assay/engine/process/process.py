"""A training in a process of its own, from the worker's end: it is started, served, watched and ended.

The process holds no test image, can be ended, and takes nothing with it. What is common to it and to a
training in the worker's process (``train_here.py``) is a :class:`Trainer`.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from assay.engine.durations import Limits
from assay.engine.errors import DiedError, MethodError, OverdueError, PeerLostError, Stopped
from assay.engine.process.fit import MODEL_FOLDER, ChildJob, FitJob, Peers
from assay.engine.process.fork_server import Forked, ForkServer
from assay.engine.worker.ranks import from_rank_0
from assay.engine.worker.trial_log import LogAnswers, Message, StoredLog, receive
from trainables.data.cache import ArrowImages
from trainables.evaluation.scorer import ImageScorer, Scores
from trainables.plugins.method_files import is_file_method, loaded_source
from trainables.program.process import GRACE_SECONDS
from trainables.runtime.device import kills_for_memory

__all__ = ["TrainApart", "Trained", "Trainer", "weights_of"]

_POLL_SECONDS = 5.0  # between two polls of the clock while nothing is heard
_PROGRAM_END_SECONDS = GRACE_SECONDS + 2.0
_END_SECONDS = 60.0  # until it is known how a process ended that cannot be heard any more
_CHUNK = 2**16
_HOUR, _MINUTE = 3600.0, 60.0
_KEPT = 32 * 2**10  # bytes from the start of what a process prints, and as many from the end


class Trained(NamedTuple):
    """A model that was trained, while it can be asked."""

    model: ImageScorer | None  # None: stages were made
    weights: str  # sha256 of its weights, hex; empty without a model
    samples: int  # images that this worker was given, over all epochs
    shard_hash: str  # of their positions, batch by batch
    peak_memory_mb: float
    confined_by: str  # what kept test images from it
    threads: int  # of torch within one operation, where the model trained
    instructions: str  # instruction set of the CPU that torch used there: `AVX512`
    notes: tuple[str, ...] = ()  # for the record


class Trainer(Protocol):
    """A way to train."""

    def train(
        self, job: FitJob, images: ArrowImages, trial_log: StoredLog
    ) -> AbstractContextManager[Trained]:
        """Train; the model can be asked within the block. What the method raises comes through."""
        ...


@dataclass(frozen=True)
class TrainApart:
    """Trains in a process of its own, which opens neither storage nor data, and ends it when overdue."""

    server: ForkServer  # starts them
    limits: Limits
    barred: tuple[Path, ...]  # folders that training may not open
    backend: str  # of the exchange between workers
    stop: threading.Event  # set when the run ends its processes: that is no death of theirs

    @contextmanager
    def train(self, job: FitJob, images: ArrowImages, trial_log: StoredLog) -> Generator[Trained]:
        try:
            with self._trained(job, images, trial_log) as trained:
                yield trained
        except DiedError:
            # A process that died because the run ended it has not failed: its trial goes on another time.
            if self.stop.is_set():
                raise Stopped from None
            raise

    @contextmanager
    def _trained(self, job: FitJob, images: ArrowImages, trial_log: StoredLog) -> Generator[Trained]:
        order = ChildJob(
            replace(job, data=job.data.with_images({})),
            images.path,
            images.shape,
            loaded_source(job.trainable) if is_file_method(job.trainable) else None,
            self.barred,
            _kept(self.barred),
            self._peers(job),
        )

        # The block lasts until the model is scored: it lives in that process, and only scores come out. What
        # the method printed goes to the log either way, since it may be all that explains a failure.
        process = TrainingProcess(self.server.start())
        with process.ending():
            try:
                last = process.fit(order, trial_log, self.limits).values
                model = None if job.stages is not None else process.model()
                notes = tuple(f"the method tried to open {path}" for path in process.attempts)
                yield Trained(
                    model,
                    weights_of(job),
                    int(last["samples"]),
                    str(last["shard_hash"]),
                    float(last["peak_memory_mb"]),
                    process.confined_by,
                    int(last["threads"]),
                    str(last["instructions"]),
                    notes,
                )
            except (MethodError, DiedError, OverdueError):
                _note_output(process.output.text(), process.output.size, trial_log)
                raise
            _note_output(process.output.text(), process.output.size, trial_log)

    def _peers(self, job: FitJob) -> Peers | None:
        """Meeting place of the training processes of all workers: the store of the workers' own group."""
        if job.world_size == 1:
            return None
        name = from_rank_0(secrets.token_hex(8), job.world_size)
        return Peers(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), name, self.backend)


def _kept(barred: Iterable[Path]) -> tuple[Path, ...]:
    """Paths that training may open wherever they lie: weights that a study names by their hash, and code."""
    weights = os.environ.get("ASSAY_WEIGHTS")
    code = [Path(entry) for entry in (sys.prefix, sys.base_prefix, *sys.path) if entry]
    roots = [path.resolve() for path in barred]
    inside = [path for path in code if any(path.resolve().is_relative_to(root) for root in roots)]
    return (*inside, *([Path(weights)] if weights else []))


def weights_of(job: FitJob) -> str:
    """The sha256 of the weights that a training has left, hex; empty where it made stages."""
    if job.stages is not None:
        return ""
    return hashlib.sha256((job.scratch / MODEL_FOLDER / "model.safetensors").read_bytes()).hexdigest()


def _note_output(text: str, size: int, trial_log: StoredLog) -> None:
    if text:
        trial_log.note(f"the method printed {size:,} bytes:\n{text}")


class TrainingProcess:
    """A training process that was started. It is told its job once."""

    def __init__(self, forked: Forked) -> None:
        self.pid = forked.pid
        self.confined_by = ""
        self.attempts: list[str] = []  # paths that it tried to open and may not
        self.output = Output()
        self._connection, self._output, self._status = forked.connection, forked.output, forked.status
        self._prints = True  # until its output is closed
        self._runs_program = False  # a method without Python, which is another process
        self._limits = Limits(None, None)
        self._started = self._heard = time.monotonic()
        self._kills_before = kills_for_memory()

    @contextmanager
    def ending(self) -> Generator[Self]:
        """Keep the process alive for the length of a ``with`` block; afterwards it is gone."""
        try:
            yield self
        finally:
            if self._runs_program:  # which has some seconds to end in order
                self._connection.close()
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(self.pid, signal.SIGTERM)
                self._await_end(_PROGRAM_END_SECONDS)

            # The whole group is killed, so that what the method has started goes, too. Only then the pipe of
            # its output has an end to read to.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._connection.close()
            self._read_output()
            os.close(self._output)
            os.close(self._status)

    def _await_end(self, seconds: float) -> None:
        """Wait until the process has ended, and read what it prints: a full pipe would keep it."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            ready = wait([self._status, *([self._output] if self._prints else [])], left)
            if self._output in ready:
                self._read_output(once=True)
            if self._status in ready:
                return

    def fit(self, child_job: ChildJob, trial_log: StoredLog, limits: Limits) -> Message:
        """Let the process train, and keep what it says; returns its last message, ``fitted``.

        Raises:
            MethodError: If the method raised something.
            DiedError: If the process ended.
            OverdueError: If it took too long.
            Stopped: If the user stopped the trial.
            PeerLostError: If another worker's process is gone.
            OSError: If the machine is at fault.
        """
        self._limits = limits
        self._runs_program = child_job.source is not None and child_job.source.is_program
        self._started = self._heard = time.monotonic()
        with suppress(BrokenPipeError, ConnectionResetError):  # the first reading says how it ended
            self._connection.send(child_job)
        served = LogAnswers(trial_log, child_job.job.scratch, self._connection)
        while True:
            message = self._receive()
            match message.kind:
                case "fitted":
                    return message
                case "confined":
                    self.confined_by = message.values["by"]
                case "attempt":
                    path = message.values["path"]
                    self.attempts.append(path)
                    trial_log.note(f"the method tried to open {path}, which is kept from training")
                case _:
                    self._refuse_overdue()  # it may talk all the time
                    served.answer(message)

    def model(self) -> ProcessScorer:
        """The trained model, which lives there."""
        return ProcessScorer(self, self._await("ready").values)

    def ask(self, request: tuple[Any, ...], kind: str) -> Message:
        """Send a request, and wait for the message of ``kind`` that answers it."""
        self._heard = time.monotonic()
        with suppress(BrokenPipeError, ConnectionResetError):  # the next reading says how it ended
            self._connection.send(request)
        return self._await(kind)

    def _await(self, kind: str) -> Message:
        while (message := self._receive()).kind != kind:
            if message.kind != "attempt":
                raise MethodError("failed", f"the method's process sent {message.kind}, not {kind}", "")
            self.attempts.append(message.values["path"])
        return message

    def _receive(self) -> Message:
        while True:
            watched = [self._connection, self._status, *([self._output] if self._prints else [])]
            ready = wait(watched, _POLL_SECONDS)

            # What is printed is read along with the messages: a full pipe would stop the training.
            if self._output in ready:
                self._read_output(once=True)
            if self._connection in ready:
                self._heard = time.monotonic()
                try:
                    message = receive(self._connection)
                except (EOFError, ConnectionResetError):
                    raise self._death() from None
                if message.kind == "error":
                    raise _error(message.values)
                return message
            # What it started may hold its end of the connection: then no end of it is ever heard there.
            if self._status in ready and not self._connection.poll():
                raise self._death()
            self._refuse_overdue()

    def _refuse_overdue(self) -> None:
        now = time.monotonic()
        hours, minutes = self._limits
        if hours is not None and now - self._started > hours * _HOUR:
            raise OverdueError(f"it took more than {hours:g} h (resources.hours_per_trial)")
        if minutes is not None and now - self._heard > minutes * _MINUTE:
            raise OverdueError(f"it gave no sign of life for {minutes:g} min (resources.silent_minutes)")

    def _read_output(self, *, once: bool = False) -> None:
        os.set_blocking(self._output, False)
        with suppress(BlockingIOError):
            while data := os.read(self._output, _CHUNK):
                self.output.add(data)
                if once:
                    return
            self._prints = False

    def _death(self) -> DiedError:
        if not wait([self._status], _END_SECONDS):
            return DiedError(
                "its training process closed the connection to its worker and went on",
                "Mend the method: it closes no files but those that it opened",
            )

        # The exit code says whose fault it is: the kernel's, that of whoever sent a signal, or the method's
        # own.
        status = os.read(self._status, 16).decode()
        code = int(status) if status else None
        match code:
            case None:
                return DiedError("its training process is gone with what started it")
            case _ if code == -signal.SIGKILL:
                by_kernel = kills_for_memory() > self._kills_before
                why = "by the kernel: the machine or container is out of memory"
                why = why if by_kernel else "and the kernel counted no process that it ended for its memory"
                return DiedError(f"its training process was killed (signal 9), {why}")
            case _ if code < 0:
                by = f"its training process ended by signal {-code} ({signal.strsignal(-code)})"
                sender = "Find out whether the method or somebody else sends it"
                fault = "Mend the fault of the method, or of a library that it calls"
                return DiedError(by, sender if code == -signal.SIGTERM else fault)
            case _:
                by = f"the method ended its process with code {code}"
                return DiedError(by, "Mend the method: it returns a model, or raises an error")


class ProcessScorer:
    """A model of a training process, as a :class:`trainables.evaluation.scorer.ImageScorer`."""

    def __init__(self, process: TrainingProcess, abilities: Mapping[str, Any]) -> None:
        self._process = process
        self.shows_stages = bool(abilities["shows_stages"])
        self.measures_erasure = bool(abilities["measures_erasure"])
        self.images_at_once = int(abilities["images_at_once"])

    def score(self, images: Sequence[NDArray[np.uint8]], known: Collection[str] | None = None) -> Scores:
        names = None if known is None else tuple(known)
        answer = self._process.ask(("score", [np.ascontiguousarray(i) for i in images], names), "scored")
        arrays, values = answer.arrays, answer.values
        stages = {str(name): arrays[f"stage.{name}"] for name in values["stages"]}
        return Scores(arrays["scores"], arrays["heatmaps"], stages, float(values["seconds"]))

    def erasure_drops(self, images: Sequence[NDArray[np.uint8]]) -> list[float]:
        answer = self._process.ask(("erasure_drops", [np.ascontiguousarray(i) for i in images]), "dropped")
        return [float(drop) for drop in answer.values["drops"]]

    def reference_seconds(self) -> float:
        return float(self._process.ask(("reference",), "timed").values["seconds"])


class Output:
    """First and last bytes of what a process prints."""

    def __init__(self) -> None:
        self.size = 0  # bytes in all
        self._first = bytearray()
        self._last: deque[bytes] = deque()
        self._held = 0

    def add(self, data: bytes) -> None:
        """Take in what was printed next."""
        self.size += len(data)
        room = _KEPT - len(self._first)
        self._first += data[:room]
        if rest := data[room:] if room > 0 else data:
            self._last.append(rest[-_KEPT:])
            self._held += len(self._last[-1])

            # Whole pieces fall out in front while those behind them hold enough.
            while self._held - len(self._last[0]) >= _KEPT:
                self._held -= len(self._last.popleft())

    def text(self) -> str:
        """The bytes that were kept, as text, with a line on how many were left out."""
        last = b"".join(self._last)[-_KEPT:]
        parts = [bytes(self._first)]
        if last:
            left_out = self.size - len(self._first) - len(last)
            parts += [f"\n[{left_out:,} bytes left out]\n".encode()] if left_out else []
            parts.append(last)
        return b"".join(parts).decode(errors="replace").strip("\n")


def _error(values: Mapping[str, Any]) -> Exception:
    match values["error"]:
        case "stopped":
            return Stopped()
        case "peer lost":
            return PeerLostError(values["reason"])
        case "died":
            return DiedError(values["reason"], "Find out what the program lacked, or who killed it")
        case "system":
            # The number makes it the same error again: a full disk is told from other faults by it.
            number = values["errno"]
            error = OSError(values["reason"])
            if number is not None:
                error = OSError(number, os.strerror(number), values["path"])
            error.add_note(str(values["trace"]).rstrip())
            return error
        case kind:
            return MethodError(str(kind), str(values["reason"]), str(values["trace"]))
