"""The log of a trial: all that a training leaves behind while it trains, from its method to the storage.

A method speaks to a :class:`TrialLog`. Where it trains in the worker's own process that is a
:class:`StoredLog`, which keeps history, log, heartbeat and checkpoints as files of its attempt. Where it
trains in a process of its own it is a :class:`SentLog`, whose messages :class:`LogAnswers` hands to a
``StoredLog`` at the other end of the pipe. All workers of a trial have one. Rank 0 writes; a request to stop
and a stage that was found are told to all, for two looks at a storage may differ.

Over the pipe a worker sends Python objects. What comes back is JSON and safetensors only: the method's code
runs at that end, and nothing that it sends is ever run here.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pyarrow as pa
import safetensors.numpy
from numpy.typing import NDArray

from assay.engine.errors import DrainedError, MethodError, Stopped
from assay.engine.worker.checkpoints import Checkpoints, PackedState
from assay.engine.worker.ranks import from_rank_0, wait_for_all
from assay.storage import Attempt, Progress, Store
from assay.storage.lease import stop_requested
from assay.storage.redaction import redact
from assay.storage.stage_store import stage_folder
from assay.study import Trial
from assay.study.planning.stage_graph import Need
from trainables.contract import Checkpoint
from trainables.stages import Stage

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "LogAnswers",
    "Message",
    "SentLog",
    "StageLog",
    "StageSpace",
    "Stages",
    "StoredLog",
    "TrialLog",
    "packed",
    "receive",
    "send",
]

_HEARTBEAT_SECONDS = 0.5  # progress.json and log.txt are written at most this often
_HEARTBEAT_SECONDS_REMOTE = 2.0  # into an object store, where each is a request
_STEP_HEARTBEAT_SECONDS = 5.0  # between two heartbeats within an epoch
_STEP_MESSAGE_SECONDS = 1.0  # between two signs of life within an epoch over a pipe
_STOP_SECONDS = 1.0  # a stop request is looked for at most this often
_MOST_TEXT = 16 * 2**20  # bytes of JSON in a message
_MOST_TENSORS = 16 * 2**30  # bytes of tensors in a message


class StageSpace(NamedTuple):
    """A stage that is being made."""

    folder: Path  # empty, for its files
    inputs: Mapping[str, Path]  # folders of the stages that it reads, by name
    trial_log: TrialLog  # the stage's own


class TrialLog(Protocol):
    """Keeper of what a training leaves behind. Its methods mean what those of ``Run`` mean."""

    def note(self, line: str) -> None:
        """Add a line to the attempt's log."""
        ...

    def step(self, done: int, total: int, epochs: int) -> None: ...

    def log(self, epoch: int, metrics: Mapping[str, float], epochs: int) -> None:
        """Note an epoch.

        Raises:
            Stopped: If the user asked the trial to stop.
        """
        ...

    def checkpoint(self, epoch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None: ...

    def resume(self) -> Checkpoint | None: ...

    def find_stage(self, stage: Stage) -> Path | None:
        """The folder of a stage that was made before.

        Raises:
            ValueError: If the method asks for a stage that it did not name, or before one that it reads.
        """
        ...

    def begin_stage(self, stage: Stage) -> StageSpace:
        """Room for a stage that nobody has made."""
        ...

    def end_stage(self, stage: Stage) -> Path:
        """Keep the files of the stage that was begun; returns the folder with them."""
        ...


class Stages(Protocol):
    """Source of a trial's stages."""

    def find(self, stage: Stage, trial_log: StoredLog, /) -> Path | None: ...

    def begin(self, stage: Stage, /) -> StageSpace: ...

    def end(self, stage: Stage, trial_log: StoredLog, /) -> Path: ...


class StoredLog:
    """Log of one attempt at a trial, or at a stage of it, on one worker: files on the storage."""

    def __init__(
        self,
        trial: Trial,
        store: Store,
        attempt: Attempt,
        *,
        rank: int = 0,
        world_size: int = 1,
        stages: Stages | None = None,
        stage: Need | None = None,
        draining: Callable[[], bool] = bool,
    ) -> None:
        """``draining``: says whether a node of the trial is to be taken away; rank 0 asks once a second."""
        self.history: list[dict[str, float]] = []  # one row per finished epoch, also before a resume
        self._rank, self._world_size = rank, world_size
        self._trial, self._store, self._attempt = trial, store, attempt
        self._stages, self._stage = stages, stage
        self._draining, self._drained = draining, False
        self._lines: list[str] = []
        self._epoch_start = self._stage_asked = time.monotonic()
        self._epoch_seconds: list[float] = []
        self._written = 0.0
        self._pause = _HEARTBEAT_SECONDS if store.local_path else _HEARTBEAT_SECONDS_REMOTE
        self._first_step: tuple[int, float] | None = None  # of this attempt: steps done, and when
        self._beat = self._beat_of(0, 0, {}, None)  # the last heartbeat
        self._stop_polled = 0.0
        folder = store.trial(trial.id) if stage is None else stage_folder(stage.key)
        self._checkpoints = Checkpoints(store, folder)

    def find_stage(self, stage: Stage) -> Path | None:
        self._stage_asked = time.monotonic()
        folder = self._source().find(stage, self)
        if folder is not None:
            self._leave_out_stage()
        return folder

    def begin_stage(self, stage: Stage) -> StageSpace:
        return self._source().begin(stage)

    def end_stage(self, stage: Stage) -> Path:
        folder = self._source().end(stage, self)
        self._leave_out_stage()
        return folder

    def step(self, done: int, total: int, epochs: int) -> None:
        now = time.monotonic()
        if self._first_step is None:
            self._first_step = (done, now)
        elif self._rank == 0 and now - self._written >= _STEP_HEARTBEAT_SECONDS:
            # The time that is left is reckoned from this attempt's own steps: one that resumes begins in the
            # middle.
            first, since = self._first_step
            eta = (now - since) / max(1, done - first) * (total - done)
            self._beat = self._beat.model_copy(
                update={
                    "epoch": len(self.history),
                    "step": done,
                    "steps": total,
                    "epochs": epochs,
                    "eta": eta,
                    "time": time.time(),
                }
            )
            self._store.write_progress(self._beat)
            self._written = now

    def log(self, epoch: int, metrics: Mapping[str, float], epochs: int) -> None:
        now = time.monotonic()
        seconds, self._epoch_start = now - self._epoch_start, now
        self._epoch_seconds.append(seconds)
        row = {"epoch": float(epoch), **{name: float(value) for name, value in metrics.items()}}
        while self.history and self.history[-1]["epoch"] >= epoch:
            self.history.pop()  # trained again, from the state before it
        self.history.append({**row, "seconds": seconds, "time": time.time()})
        if self._rank == 0:
            values = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            done = min(epoch + 1, epochs)  # a method may count from 1
            self.note(f"epoch {done}/{epochs}  {values}  {seconds:.2f} s", flush=False)

            # Epochs may take milliseconds, and a heartbeat is a file, or a request to an object store: it is
            # written now and then.
            if now - self._written >= self._pause or done == epochs:
                self._heartbeat(done, epochs, metrics)
        self._poll_stop()

    def curve(self) -> pa.Table:
        """The history, a row for each epoch: not every epoch logs every metric."""
        names = dict.fromkeys(name for row in self.history for name in row)
        return pa.table({name: [row.get(name) for row in self.history] for name in names})

    @property
    def wants_checkpoint(self) -> bool:
        """True where another checkpoint would not take too large a share of the time, or is the last here."""
        return self._rank == 0 and (self._drained or self._checkpoints.due)

    def checkpoint(self, epoch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        if self.wants_checkpoint:
            self.keep_checkpoint(epoch, packed(tensors), meta)

    def keep_checkpoint(self, epoch: int, tensors: bytes, meta: Mapping[str, Any]) -> None:
        """Write the state after ``epoch`` finished epochs; ``tensors`` is a file of safetensors.

        Raises:
            DrainedError: When it is written, if a node of the trial is to be taken away.
        """
        self._checkpoints.keep(epoch, tensors, meta, self.history)
        if self._drained:
            raise DrainedError(f"a node of the trial is drained: it goes on elsewhere after epoch {epoch}")

    def resume(self) -> Checkpoint | None:
        import safetensors.torch  # where a method trains in this process

        state = self.resume_packed()
        return state and Checkpoint(state.epoch, safetensors.torch.load(state.data), state.meta)

    def resume_packed(self) -> PackedState | None:
        """The state to go on from, as it lies on the storage."""
        kept = self._checkpoints.read()
        wait_for_all(self._world_size)  # else rank 0 could write the next checkpoint before another read this
        self._epoch_start = time.monotonic()
        if kept is None:
            return None
        state, self.history = kept
        self.note(f"resumed after epoch {state.epoch}")
        return state

    def note(self, line: str, flush: bool = True) -> None:
        """Add a line to this attempt's log (rank 0 keeps it)."""
        if self._rank:
            return
        self._lines.append(f"{datetime.now(UTC):%H:%M:%S}  {line}")
        if flush:
            self._write_log()

    def _leave_out_stage(self) -> None:
        """Begin the epoch under way later: what a stage took is the stage's, and most trials find it made."""
        self._epoch_start += time.monotonic() - self._stage_asked

    def _source(self) -> Stages:
        assert self._stages is not None, "a stage asks for no other stage: it names them in `after`"
        return self._stages

    def _write_log(self) -> None:
        text = redact("\n".join([*self._lines, ""]))  # a traceback may quote a URI with credentials
        self._store.write_bytes(f"{self._attempt.prefix}/log.txt", text.encode())

    def _heartbeat(self, done: int, epochs: int, metrics: Mapping[str, float]) -> None:
        recent = self._epoch_seconds[-5:]
        pace = sum(recent) / len(recent)
        self._beat = self._beat_of(done, epochs, metrics, pace)
        self._store.write_progress(self._beat)
        self._write_log()
        self._written = time.monotonic()

    def _beat_of(self, done: int, epochs: int, metrics: Mapping[str, float], pace: float | None) -> Progress:
        beat = Progress.now(self._trial.id, done, epochs, metrics, pace, self._attempt.name)
        stage = self._stage.stage.name if self._stage is not None else ""
        return beat.model_copy(update={"stage": stage})

    def _poll_stop(self) -> None:
        """Look for a stop on rank 0 and tell all: a rank that stops alone would leave the others waiting."""
        now = time.monotonic()
        stopping = False
        if self._rank == 0 and now - self._stop_polled >= _STOP_SECONDS:
            self._stop_polled = now
            stopping = stop_requested(self._store, "trial", self._trial.id)
            self._drained = self._drained or self._draining()
        if from_rank_0(stopping, self._world_size):
            self.note("stopped on request")
            raise Stopped(self._trial.id)


class StageLog(StoredLog):
    """Log of a worker that makes stages and nothing else: all there is to keep is theirs."""

    def note(self, line: str, flush: bool = True) -> None:
        """Drop the line: no attempt at the trial was begun, so there is no log."""


class SentLog:
    """A :class:`TrialLog` whose keeper is at the other end of a connection."""

    def __init__(self, connection: Connection, scratch: Path) -> None:
        self._connection, self._scratch = connection, scratch
        self._space: StageSpace | None = None
        self._stepped = 0.0

    def note(self, line: str) -> None:
        send(self._connection, "note", line=line)

    def step(self, done: int, total: int, epochs: int) -> None:
        now = time.monotonic()
        if now - self._stepped >= _STEP_MESSAGE_SECONDS:
            self._stepped = now
            send(self._connection, "step", done=done, total=total, epochs=epochs)

    def log(self, epoch: int, metrics: Mapping[str, float], epochs: int) -> None:
        numbers = {name: float(value) for name, value in metrics.items()}
        if self._ask("log", epoch=epoch, metrics=numbers, epochs=epochs):
            raise Stopped

    def checkpoint(self, epoch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        if not self._ask("wants_checkpoint"):
            return
        send(self._connection, "checkpoint", tensors, epoch=epoch, meta=dict(meta))
        self._connection.recv()

    def resume(self) -> Checkpoint | None:
        state = self._ask("resume")
        if state is None:
            return None
        import safetensors.torch  # where a method trains

        epoch, tensors, meta = state
        return Checkpoint(epoch, safetensors.torch.load(tensors), meta)

    def find_stage(self, stage: Stage) -> Path | None:
        return self._ask("find_stage", name=stage.name)

    def begin_stage(self, stage: Stage) -> StageSpace:
        folder, inputs = self._ask("begin_stage", name=stage.name)
        self._space = StageSpace(folder, inputs, SentLog(self._connection, self._scratch))
        return self._space

    def end_stage(self, stage: Stage) -> Path:
        assert self._space is not None, "a stage is begun before it is ended"
        self._ask("end_stage", name=stage.name)
        return self._space.folder

    def _ask(self, kind: str, **values: Any) -> Any:
        send(self._connection, kind, **values)
        answer = self._connection.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


class LogAnswers:
    """Answers to what a training asks of its log: the trial's, or the one of a stage that it makes."""

    def __init__(self, trial_log: StoredLog, scratch: Path, connection: Connection) -> None:
        self._trial = self._current = trial_log
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
        """Find, begin or end a stage. Only its name is the method's: all else is what was planned."""
        stage = Stage(name, {}, lambda work: None)
        if kind == "find_stage":
            try:
                folder = self._trial.find_stage(stage)
            except ValueError as error:
                # To ask for a stage out of order is the method's mistake, so the error is raised in its
                # process.
                self._reply(ValueError(str(error)))
                return
            self._reply(None if folder is None else self._lend(name, folder))
        elif kind == "begin_stage":
            space = self._trial.begin_stage(stage)
            assert isinstance(space.trial_log, StoredLog), "a worker's stages are kept on the storage"
            self._current = space.trial_log
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


class Message(NamedTuple):
    """One message of the training process."""

    kind: str
    values: dict[str, Any]  # JSON values
    data: bytes = b""  # tensors, as a file of safetensors

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The tensors, of types that NumPy has."""
        return safetensors.numpy.load(self.data)


_sending = Lock()  # a method may have threads of its own


def send(
    connection: Connection, kind: str, tensors: Mapping[str, Tensor] | None = None, **values: Any
) -> None:
    """Send a message; tensors are moved to the host."""
    parts = [json.dumps({"kind": kind, "tensors": tensors is not None, **values}).encode()]
    if tensors is not None:
        parts.append(packed(tensors))
    with _sending:
        for part in parts:
            connection.send_bytes(part)


def packed(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as a file of safetensors, which takes contiguous ones on the host that share no memory."""
    import safetensors.torch  # where a method trains: what only hands on needs no torch

    plain: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        on_host = tensor.detach().cpu().contiguous()
        storage = on_host.untyped_storage().data_ptr()
        plain[name] = on_host.clone() if storage in storages else on_host
        storages.add(storage)
    return safetensors.torch.save(plain)


def receive(connection: Connection) -> Message:
    """Wait for a message.

    Raises:
        EOFError: If the process ended.
        OSError: If a message is larger than any can be.
    """
    values = json.loads(connection.recv_bytes(_MOST_TEXT))
    kind = str(values.pop("kind"))
    data = connection.recv_bytes(_MOST_TENSORS) if values.pop("tensors") else b""
    return Message(kind, values, data)
