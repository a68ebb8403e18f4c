"""``StorageJournal``: history, log, heartbeat and checkpoints of a training, as files of its attempt.

All workers of a trial have one. Rank 0 writes; a request to stop and a stage that was found are told to all,
for two looks at a storage may differ.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pyarrow as pa

from assay.engine.fitting.wire import packed
from assay.engine.ranks import from_rank_0, wait_for_all
from assay.engine.train_run import DrainedError, StageSpace, Stopped
from assay.storage import Attempt, Progress, Store
from assay.storage.lease import stop_requested
from assay.storage.redaction import redact
from assay.storage.stage_store import stage_folder
from assay.study import Trial
from assay.study.stage_graph import Need
from trainables.contract import Checkpoint
from trainables.stages import Stage

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PackedState", "Stages", "StagesJournal", "StorageJournal"]

_HEARTBEAT_SECONDS = 0.5  # progress.json and log.txt are written at most this often
_HEARTBEAT_SECONDS_REMOTE = 2.0  # into an object store, where each is a request
_STEP_HEARTBEAT_SECONDS = 5.0  # between two heartbeats within an epoch
_STOP_SECONDS = 1.0  # a stop request is looked for at most this often
_CHECKPOINT_SHARE = 0.05  # of the training time may go into writing checkpoints


class PackedState(NamedTuple):
    """A checkpoint whose tensors are a file of safetensors: what hands it on needs no torch."""

    epoch: int
    data: bytes
    meta: dict[str, Any]


class Stages(Protocol):
    """Source of a trial's stages."""

    def find(self, stage: Stage, journal: StorageJournal, /) -> Path | None: ...

    def begin(self, stage: Stage, /) -> StageSpace: ...

    def end(self, stage: Stage, journal: StorageJournal, /) -> Path: ...


class StorageJournal:
    """Journal of one attempt at a trial, or at a stage of it, on one worker."""

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
        self._stop_looked = 0.0
        self._checkpointed = time.monotonic()
        self._checkpoint_cost = 0.0

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
            if now - self._written >= self._pause or done == epochs:
                self._heartbeat(done, epochs, metrics)
        self._look_for_stop()

    def curve(self) -> pa.Table:
        """The history, a row for each epoch: not every epoch logs every metric."""
        names = dict.fromkeys(name for row in self.history for name in row)
        return pa.table({name: [row.get(name) for row in self.history] for name in names})

    @property
    def wants_checkpoint(self) -> bool:
        """True where another checkpoint would not take too large a share of the time, or is the last here."""
        since = time.monotonic() - self._checkpointed
        return self._rank == 0 and (self._drained or self._checkpoint_cost <= _CHECKPOINT_SHARE * since)

    def checkpoint(self, epoch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        if not self.wants_checkpoint:
            return
        start = time.monotonic()
        self.keep_checkpoint(epoch, packed(tensors), meta)
        self._checkpoint_cost = time.monotonic() - start

    def keep_checkpoint(self, epoch: int, tensors: bytes, meta: Mapping[str, Any]) -> None:
        """Write the state after ``epoch`` finished epochs; ``tensors`` is a file of safetensors.

        Raises:
            DrainedError: When it is written, if a node of the trial is to be taken away.
        """
        header = {"epoch": str(epoch), "meta": json.dumps(dict(meta)), "history": json.dumps(self.history)}
        start = time.monotonic()
        self._store.write_bytes(self._checkpoint_path, _with_metadata(tensors, header))
        self._checkpointed = time.monotonic()
        self._checkpoint_cost = self._checkpointed - start
        if self._drained:
            raise DrainedError(f"a node of the trial is drained: it goes on elsewhere after epoch {epoch}")

    def resume(self) -> Checkpoint | None:
        import safetensors.torch  # where a method trains in this process

        state = self.resume_packed()
        return state and Checkpoint(state.epoch, safetensors.torch.load(state.data), state.meta)

    def resume_packed(self) -> PackedState | None:
        """The state to go on from, as it lies on the storage."""
        state = self._read_checkpoint()
        wait_for_all(self._world_size)  # else rank 0 could write the next checkpoint before another read this
        self._epoch_start = time.monotonic()
        if state is not None:
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

    def _look_for_stop(self) -> None:
        """Rank 0 looks, all ranks hear: a rank that stopped alone would leave the others waiting."""
        now = time.monotonic()
        stopping = False
        if self._rank == 0 and now - self._stop_looked >= _STOP_SECONDS:
            self._stop_looked = now
            stopping = stop_requested(self._store, "trial", self._trial.id)
            self._drained = self._drained or self._draining()
        if from_rank_0(stopping, self._world_size):
            self.note("stopped on request")
            raise Stopped(self._trial.id)

    @property
    def _checkpoint_path(self) -> str:
        folder = self._store.trial(self._trial.id) if self._stage is None else stage_folder(self._stage.key)
        return f"{folder}/checkpoint.safetensors"

    def _read_checkpoint(self) -> PackedState | None:
        try:
            data = self._store.read_bytes(self._checkpoint_path)
        except FileNotFoundError:
            return None
        header = _header(data)[0]["__metadata__"]
        self.history = json.loads(header["history"])
        return PackedState(int(header["epoch"]), data, json.loads(header["meta"]))


class StagesJournal(StorageJournal):
    """Journal of a worker that makes stages and nothing else: all there is to keep is theirs."""

    def note(self, line: str, flush: bool = True) -> None:
        """Nothing: no attempt at the trial was begun."""


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header of a file of safetensors, JSON after eight bytes of length, and where its tensors begin."""
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), end


def _with_metadata(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """A file of safetensors with other metadata; tensors begin at a multiple of eight bytes."""
    header, end = _header(data)
    text = json.dumps({**header, "__metadata__": dict(metadata)}).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, memoryview(data)[end:]])
