"""``TrainRun``: what a trainable is given while it trains on a Ray worker.

It keeps the trial's history, log, heartbeat and checkpoint on storage, sums gradients over workers, and
notes which images this worker saw. Ray itself is not needed here: rank and world size come from
``torch.distributed``, which Ray Train has set up.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor

from assay.storage import Attempt, Progress, Store
from assay.storage.redaction import redact
from assay.storage.stage_store import stage_folder
from assay.storage.stop import stop_requested
from assay.study import Trial
from assay.study.stage_graph import Need
from trainables.contract import Checkpoint, seed_for, shard
from trainables.data.samples import TrainingData
from trainables.stages import Stage

__all__ = ["PeerLostError", "Stopped", "TrainRun", "collective"]

_HEARTBEAT_SECONDS = 0.5  # progress.json and log.txt are written at most this often
_HEARTBEAT_SECONDS_REMOTE = 2.0  # into an object store, where each is a request
_STEP_HEARTBEAT_SECONDS = 5.0  # between two heartbeats within an epoch
_STOP_SECONDS = 1.0  # a stop request is looked for at most this often
_CHECKPOINT_SHARE = 0.05  # of the training time may go into writing checkpoints


class PeerLostError(ConnectionError):
    """Another worker of this trial is gone: killed, out of memory, or on a lost node."""


@contextmanager
def collective() -> Generator[None]:
    """Around each exchange between workers: its failure is the machine's, not the trial's.

    gloo reports a killed peer as a plain RuntimeError, which would otherwise pass for the method's own.
    """
    try:
        yield
    except RuntimeError as error:
        raise PeerLostError(f"another worker of the trial is gone: {error}") from error


class Stopped(Exception):  # noqa: N818 - not an error: the user asked for it
    """The user asked this trial to stop; it leaves no record and goes on from its checkpoint next time."""


class Stages(Protocol):
    """Source of a trial's stages."""

    def folder(self, stage: Stage, data: TrainingData, note: Callable[[str], None], /) -> Path: ...


class TrainRun:
    """One attempt at one trial, or at a stage of it, on one worker: a :class:`trainables.contract.Run`."""

    def __init__(
        self,
        trial: Trial,
        study: str,
        store: Store,
        attempt: Attempt,
        *,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        stages: Stages | None = None,
        stage: Need | None = None,
    ) -> None:
        self.device, self.rank, self.world_size = device, rank, world_size
        self.seed, self.fold = trial.seed, trial.fold
        self.history: list[dict[str, float]] = []  # one row per finished epoch, also before a resume
        self.samples = 0
        self._trial, self._study, self._store, self._attempt = trial, study, store, attempt
        self._stages, self._stage = stages, stage
        self._purpose = f"{stage.stage.name}/" if stage is not None else ""
        self._shards = hashlib.sha256()
        self._lines: list[str] = []
        self._epoch_start = time.monotonic()
        self._epoch_seconds: list[float] = []
        self._written = 0.0
        self._pause = _HEARTBEAT_SECONDS if store.local_path else _HEARTBEAT_SECONDS_REMOTE
        self._first_step: tuple[int, float] | None = None  # of this attempt: steps done, and when
        self._beat = self._beat_of(0, 0, {}, None)  # the last heartbeat
        self._stop_looked = 0.0
        self._checkpointed = time.monotonic()
        self._checkpoint_cost = 0.0

    # What the trainable calls ------------------------------------------------------------------------

    def generator(self, purpose: str, *index: int) -> np.random.Generator:
        return np.random.default_rng(seed_for(self.seed, self.fold, f"{self._purpose}{purpose}", *index))

    def stage(self, stage: Stage, data: TrainingData) -> Path:
        assert self._stages is not None, "a stage asks for no other stage: it names them in `after`"
        return self._stages.folder(stage, data, self.note)

    def shard(self, batch: Sequence[int]) -> Sequence[int]:
        part = shard(batch, self.rank, self.world_size)
        self._shards.update(json.dumps(list(map(int, part))).encode())
        self.samples += len(part)
        return part

    def reduce(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """One all-reduce over all gradients as a flat vector.

        Ranks may disagree on which parameters took part (a weak positive on one, a negative on the
        other): a missing gradient is sent as zeros, so every rank sends the same shape.
        """
        if self.world_size == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        with collective():
            dist.all_reduce(flat, op=dist.ReduceOp.SUM)
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def step(self, done: int, total: int, epochs: int) -> None:
        now = time.monotonic()
        if self._first_step is None:
            self._first_step = (done, now)
        elif self.rank == 0 and now - self._written >= _STEP_HEARTBEAT_SECONDS:
            first, since = self._first_step
            eta = (now - since) / (done - first) * (total - done)
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
        self.history.append({**row, "seconds": seconds, "time": time.time()})
        if self.rank == 0:
            values = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            self.note(f"epoch {epoch + 1}/{epochs}  {values}  {seconds:.2f} s", flush=False)
            if now - self._written >= self._pause or epoch + 1 == epochs:
                self._heartbeat(epoch + 1, epochs, metrics)
        self._look_for_stop()

    def checkpoint(self, epoch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        assert len(self.history) == epoch, "an epoch is logged before it is kept: the history goes with it"
        start = time.monotonic()
        if self.rank or self._checkpoint_cost > _CHECKPOINT_SHARE * (start - self._checkpointed):
            return
        header = {"epoch": str(epoch), "meta": json.dumps(dict(meta)), "history": json.dumps(self.history)}
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        self._store.write_bytes(self._checkpoint_path, safetensors.torch.save(state, metadata=header))
        self._checkpointed = time.monotonic()
        self._checkpoint_cost = self._checkpointed - start

    def resume(self) -> Checkpoint | None:
        state = self._read_checkpoint()
        if self.world_size > 1:
            with collective():  # else rank 0 could write the next checkpoint before another read this one
                dist.barrier()
        self._epoch_start = time.monotonic()
        if state is not None:
            self.note(f"resumed after epoch {state.epoch}")
        return state

    # What the worker calls ---------------------------------------------------------------------------

    @property
    def shard_hash(self) -> str:
        return self._shards.hexdigest()

    def note(self, line: str, flush: bool = True) -> None:
        """Add a line to this attempt's log (rank 0 keeps it)."""
        if self.rank:
            return
        self._lines.append(f"{datetime.now(UTC):%H:%M:%S}  {line}")
        if flush:
            self._write_log()

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
        if self.rank == 0 and now - self._stop_looked >= _STOP_SECONDS:
            self._stop_looked = now
            stopping = stop_requested(self._store, "trial", self._trial.id)
        if self.world_size > 1:
            flag = torch.tensor([int(stopping)], device=self.device)
            with collective():
                dist.broadcast(flag, src=0)
            stopping = bool(flag.item())
        if stopping:
            self.note("stopped on request")
            raise Stopped(self._trial.id)

    @property
    def _checkpoint_path(self) -> str:
        folder = self._store.trial(self._trial.id) if self._stage is None else stage_folder(self._stage.key)
        return f"{folder}/checkpoint.safetensors"

    def _read_checkpoint(self) -> Checkpoint | None:
        try:
            data = self._store.read_bytes(self._checkpoint_path)
        except FileNotFoundError:
            return None
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])["__metadata__"]
        self.history = json.loads(header["history"])
        return Checkpoint(int(header["epoch"]), safetensors.torch.load(data), json.loads(header["meta"]))
