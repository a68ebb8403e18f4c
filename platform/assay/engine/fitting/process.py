"""The worker's end of a training in a process of its own: serves it, watches it, ends it."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from assay.engine.fitting.died import DiedError
from assay.engine.fitting.faults import MethodError
from assay.engine.fitting.job import ChildJob
from assay.engine.fitting.output import Output
from assay.engine.fitting.wire import Message, receive
from assay.engine.journal import StorageJournal
from assay.engine.limits import Limits
from assay.engine.ranks import PeerLostError
from assay.engine.train_run import Stopped
from trainables.device import kills_for_memory
from trainables.evaluation.scorer import Scores
from trainables.stages import Stage

__all__ = ["OverdueError", "TrainingProcess"]

_LOOK_SECONDS = 5.0  # between two looks at the clock while nothing is heard
_END_SECONDS = 60.0  # until it is known how a process ended that cannot be heard any more
_CHUNK = 2**16
_HOUR, _MINUTE = 3600.0, 60.0


class OverdueError(Exception):
    """The training took longer than it may, or was silent for longer; it was ended."""


class TrainingProcess:
    """A training process that was started. It is told its job once."""

    def __init__(self, connection: Connection, pid: int, output: int, status: int) -> None:
        self.pid = pid
        self.confined_by = ""
        self.attempts: list[str] = []  # paths that it tried to open and may not
        self.output = Output()
        self._connection, self._output, self._status = connection, output, status
        self._prints = True  # until its output is closed
        self._limits = Limits(None, None)
        self._started = self._heard = time.monotonic()
        self._kills_before = kills_for_memory()

    @contextmanager
    def ending(self) -> Generator[Self]:
        """Within this block it lives; afterwards it is gone."""
        try:
            yield self
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._connection.close()
            self._read_output()
            os.close(self._output)
            os.close(self._status)

    def fit(self, child_job: ChildJob, journal: StorageJournal, limits: Limits) -> Message:
        """Let it train, and keep what it says; returns its last words, ``fitted``.

        Raises:
            MethodError: If the method raised something.
            DiedError: If the process ended.
            OverdueError: If it took too long.
            Stopped: If the user stopped the trial.
            PeerLostError: If another worker's process is gone.
            OSError: If the machine is at fault.
        """
        self._limits = limits
        self._started = self._heard = time.monotonic()
        with suppress(BrokenPipeError, ConnectionResetError):  # the first reading says how it ended
            self._connection.send(child_job)
        served = _Served(journal, child_job.job.scratch, self._connection)
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
                    journal.note(f"the method tried to open {path}, which is kept from training")
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
            ready = wait(watched, _LOOK_SECONDS)
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


class _Served:
    """Answers to what a training asks of its journal: the trial's, or the one of a stage that it makes."""

    def __init__(self, journal: StorageJournal, scratch: Path, connection: Connection) -> None:
        self._trial = self._current = journal
        self._scratch, self._connection = scratch, connection

    def answer(self, message: Message) -> None:
        values = message.values
        match message.kind:
            case "note":
                self._current.note(values["line"])
            case "step":
                self._current.step(**values)
            case "log":
                self._log(values)
            case "wants_checkpoint":
                self._reply(self._current.wants_checkpoint)
            case "checkpoint":
                self._current.keep_checkpoint(values["epoch"], message.data, values["meta"])
                self._reply(None)
            case "resume":
                state = self._current.resume_packed()
                self._reply(None if state is None else tuple(state))
            case "find_stage" | "begin_stage" | "end_stage":
                self._stage(message.kind, values["name"])
            case _:
                raise MethodError("failed", f"the method's process sent an unknown {message.kind}", "")

    def _reply(self, answer: object) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the next reading says how it ended
            self._connection.send(answer)

    def _log(self, values: dict[str, Any]) -> None:
        try:
            self._current.log(**values)
        except Stopped:
            self._reply(True)
            raise
        self._reply(False)

    def _stage(self, kind: str, name: str) -> None:
        """Only the name is the method's: all else about a stage is what was planned."""
        stage = Stage(name, {}, lambda work: None)
        if kind == "find_stage":
            try:
                folder = self._trial.find_stage(stage)
            except ValueError as error:
                self._reply(ValueError(str(error)))
                return
            self._reply(None if folder is None else self._lend(name, folder))
        elif kind == "begin_stage":
            space = self._trial.begin_stage(stage)
            assert isinstance(space.journal, StorageJournal), "a worker's stages are kept on the storage"
            self._current = space.journal
            self._reply((space.folder, {n: self._lend(n, made) for n, made in space.inputs.items()}))
        else:
            self._trial.end_stage(stage)
            self._current = self._trial
            self._reply(None)

    def _lend(self, name: str, folder: Path) -> Path:
        """A copy of a stage's files where the training may read them."""
        copy = self._scratch / "stages" / name
        if not copy.exists():
            shutil.copytree(folder, copy)
        return copy


def _error(values: Mapping[str, Any]) -> Exception:
    match values["error"]:
        case "stopped":
            return Stopped()
        case "peer lost":
            return PeerLostError(values["reason"])
        case "system":
            number = values["errno"]
            error = OSError(values["reason"])
            if number is not None:
                error = OSError(number, os.strerror(number), values["path"])
            error.add_note(str(values["trace"]).rstrip())
            return error
        case kind:
            return MethodError(str(kind), str(values["reason"]), str(values["trace"]))
