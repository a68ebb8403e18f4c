"""The Train worker: trains the trials of a pack one after the other, and records each.

Every rank runs :func:`train_pack`. A trial with a record is skipped; one with a checkpoint goes on from it.
Rank 0 evaluates and writes the record, last of all. What goes wrong in one trial is that trial's record
(diverged, failed), and the pack goes on; what goes wrong with the machine (memory, disk, a killed process)
is an attempt without a record, and is tried again.
"""

from __future__ import annotations

import errno
import io
import os
import resource
import socket
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.distributed as dist

from assay.engine.packs import Pack
from assay.engine.run import Stopped, TrainRun
from assay.engine.versions import source_version
from assay.results import Attempt, Environment, Record, Result, Store, Worker
from assay.study import Trial
from trainables.catalogue import find_trainable
from trainables.contract import Predictor, seed_for
from trainables.data import load_evaluation, load_training, make_split, open_images, open_manifest
from trainables.data.samples import EvaluationData, TrainingData
from trainables.errors import Diverged, InputError
from trainables.evaluate import Evaluation, evaluate

__all__ = ["MAX_ATTEMPTS", "StorageFullError", "train_pack"]

MAX_ATTEMPTS = 4  # a trial is tried again three times before it is failed
_ERROR_CHARACTERS = 4000
_PREDICTION_BATCH = 16


class StorageFullError(OSError):
    """The storage has no room left: the study stops, and says so."""


@dataclass
class _Timer:
    """Seconds by part of a trial."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - start, 4)


@dataclass(frozen=True)
class _Place:
    """This worker: who it is, and where its pack's things lie."""

    pack: Pack
    store: Store
    rank: int
    world_size: int
    node: str
    driver_pid: int
    device: torch.device

    def environment(self, workers: tuple[Worker, ...] = ()) -> Environment:
        """Where this trial runs and with what."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device) / 2**20
        version = source_version()
        return Environment(
            node=self.node,
            host=socket.gethostname(),
            pid=os.getpid(),
            driver_pid=self.driver_pid,
            world_size=self.world_size,
            workers=workers,
            threads=torch.get_num_threads(),
            device=str(self.device),
            versions=dict(version.packages),
            source_hash=version.source,
            commit=version.commit,
            peak_memory_mb=round(peak, 1),
        )

    def worker(self, run: TrainRun, weights: str | None) -> Worker:
        return Worker(
            rank=self.rank,
            pid=os.getpid(),
            node=self.node,
            shard_hash=run.shard_hash,
            samples=run.samples,
            weights_hash=weights,
        )


def train_pack(config: dict[str, Any]) -> None:
    """Train loop of one Ray Train worker. ``config``: storage, path of the pack, the driver's pid."""
    import ray
    import ray.train
    import ray.train.torch

    store = Store(config["storage"])
    pack = Pack.read(store, config["pack"])
    torch.set_num_threads(pack.cpus)  # bit-identical results on a CPU need a fixed number of threads
    context = ray.train.get_context()
    place = _Place(
        pack,
        store,
        context.get_world_rank(),
        context.get_world_size(),
        ray.get_runtime_context().get_node_id(),
        config["driver_pid"],
        ray.train.torch.get_device(),
    )
    for trial in pack.trials:
        if store.record(trial.id) is None:
            _train_trial(trial, place)
        if place.world_size > 1:
            dist.barrier()


def _train_trial(trial: Trial, place: _Place) -> None:
    """One attempt at one trial; ends with a record, or with an exception that is the machine's fault."""
    started = datetime.now(UTC)
    attempt = _begin(trial, place)
    if attempt is None:
        return
    timer = _Timer()
    run = TrainRun(trial, place.pack.study, place.store, attempt, place.device, place.rank, place.world_size)
    ending: dict[str, Any]
    failure: BaseException | None = None
    try:
        ending = _fit_and_evaluate(trial, place, run, attempt, timer)
    except Stopped:
        return
    except (Diverged, FloatingPointError) as error:
        ending, failure = {"status": "diverged", "reason": str(error)}, error
    except (MemoryError, torch.OutOfMemoryError):
        run.note(f"out of memory:\n{traceback.format_exc()}")
        raise
    except OSError as error:
        run_log = f"{type(error).__name__}: {error}"
        if error.errno == errno.ENOSPC:
            raise StorageFullError(error.errno, f"no room left while writing trial {trial.id}") from error
        run.note(run_log)
        raise
    except Exception as error:  # noqa: BLE001 - recorded with its traceback, never swallowed
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        ending = {"status": "failed", "reason": reason, "error": traceback.format_exc()[-_ERROR_CHARACTERS:]}
        failure = error
    if failure is not None:
        run.note(f"{ending['status']}: {ending['reason']}\n{traceback.format_exc()}".rstrip())
    if place.rank == 0 or failure is not None:
        _record(trial, place, attempt, timer, started, ending)
    if failure is not None and place.world_size > 1:
        raise failure  # the other ranks wait in a collective: Train starts all anew, and skips this trial


def _begin(trial: Trial, place: _Place) -> Attempt | None:
    """Note the attempt (rank 0, told to the others); None when the trial has had all its attempts."""
    answer: list[Attempt | None] = [None]
    if place.rank == 0:
        since = place.pack.started
        before = [a for a in place.store.attempts(trial.id) if a.started >= since]
        if len(before) < MAX_ATTEMPTS:
            answer = [place.store.begin_attempt(trial.id, place.environment())]
        else:
            _give_up(trial, place, [f"{a.attempt} on {a.host}, pid {a.pid}" for a in before])
    if place.world_size > 1:
        dist.broadcast_object_list(answer, src=0)
    return answer[0]


def _give_up(trial: Trial, place: _Place, attempts: list[str]) -> None:
    reason = (
        f"its worker died in {len(attempts)} attempts (killed, out of memory or node lost): "
        f"{'; '.join(attempts)}. Give it more memory or a smaller batch, then `assay run --retry failed`."
    )
    now = datetime.now(UTC)
    place.store.write_record(
        Record(
            id=trial.id,
            status="failed",
            reason=reason,
            trial=trial.model_dump(mode="json"),
            study=place.pack.study,
            environment=place.environment(),
            attempts=len(attempts),
            started=now,
            ended=now,
        )
    )


def _fit_and_evaluate(
    trial: Trial, place: _Place, run: TrainRun, attempt: Attempt, timer: _Timer
) -> dict[str, Any]:
    """Train, judge and write the attempt's files; returns what the record says of it."""
    torch.manual_seed(seed_for(trial.seed, trial.fold, "torch") % 2**63)  # for libraries without a generator
    trainable = find_trainable(trial.trainable.removeprefix("trainables."))
    config = trainable.Config.model_validate(trial.config)
    run.note(f"trial {trial.id}: {trial.cell}, seed {trial.seed}, fold {trial.fold}, pid {os.getpid()}")
    with timer.part("data"):
        training, evaluation = _load(trial, config, place)
    with timer.part("train"):
        predictor = trainable.fit(config, training, run).to(place.device)
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch, timer.part("finish"):
        weights = _save_model(predictor, Path(scratch))
        workers = _gather(place.worker(run, weights), place)
        if place.rank:
            return {}
        with timer.part("evaluate"):
            report = evaluate(
                predictor,
                evaluation,
                device=place.device,
                batch=_PREDICTION_BATCH,
                probes=place.pack.probes,
                seed=trial.seed,
            )
        run.note(f"{place.pack.primary} {report.metrics.get(place.pack.primary, float('nan')):.4f}")
        files = _write_files(place, attempt, run, report, Path(scratch))
    timer.seconds["predict_per_image"] = report.seconds_per_image
    return {
        "status": "finished",
        "result": _result(training, evaluation, report, weights, len(run.history)),
        "environment": place.environment(workers),
        "files": files,
    }


def _load(trial: Trial, config: Any, place: _Place) -> tuple[TrainingData, EvaluationData]:
    """The trial's images and labels on this node; the data must be what the plan was made from."""
    root = Path(place.pack.data_root) if place.pack.data_root else None
    cache = Path(place.pack.cache)
    manifest = open_manifest(trial.data, root, cache)
    if manifest.hash != trial.manifest:
        raise InputError(
            f"the data under {root} on {socket.gethostname()} are not those of the plan: manifest "
            f"{manifest.hash[:12]}, planned {trial.manifest[:12]}. Put the same files on every node, or plan anew."
        )
    split = make_split(manifest, trial.data, trial.supervision, trial.seed, trial.fold)
    images = open_images(manifest, config.image_size, config.channels, cache)
    return (
        load_training(manifest, split, trial.supervision, images),
        load_evaluation(manifest, split, trial.supervision, images),
    )


def _result(
    training: TrainingData, evaluation: EvaluationData, report: Evaluation, weights: str, epochs: int
) -> Result:
    return Result(
        metrics=dict(report.metrics),
        validation=dict(report.validation),
        thresholds=asdict(report.thresholds),
        notes=report.notes,
        epochs=epochs,
        weights_hash=weights,
        n_train=len(training.train),
        n_positives=int(training.train.labels.sum()),
        n_masks=len(training.train.masks),
        n_validation=len(training.validation) if training.validation is not None else 0,
        n_test=len(evaluation.test),
    )


def _save_model(predictor: Predictor, folder: Path) -> str:
    """Write the model into ``folder``; returns the sha256 of its weights."""
    import hashlib

    predictor.save(folder)
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def _gather(worker: Worker, place: _Place) -> tuple[Worker, ...]:
    if place.world_size == 1:
        return (worker,)
    found: list[Any] = [None] * place.world_size
    dist.all_gather_object(found, worker)
    return tuple(found)


def _write_files(
    place: _Place, attempt: Attempt, run: TrainRun, report: Evaluation, model: Path
) -> dict[str, str]:
    """Write the attempt's files; returns their sha256 by path below the trial's folder."""
    curve = pa.Table.from_pylist(run.history)
    parts = {
        "curve.parquet": _parquet(curve),
        "predictions.parquet": _parquet(report.predictions),
        "maps.parquet": _parquet(report.maps),
    }
    if place.pack.keep_models:
        parts |= {f"model/{path.name}": path.read_bytes() for path in sorted(model.iterdir())}
    return {
        f"{attempt.name}/{name}": place.store.write_bytes(f"{attempt.prefix}/{name}", data)
        for name, data in parts.items()
    }


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _record(
    trial: Trial,
    place: _Place,
    attempt: Attempt,
    timer: _Timer,
    started: datetime,
    ending: dict[str, Any],
) -> None:
    """Write the record: from here on the trial exists, and its checkpoint is not needed any more."""
    store = place.store
    record = Record(
        **{
            "id": trial.id,
            "trial": trial.model_dump(mode="json"),
            "study": place.pack.study,
            "environment": place.environment(),
            "timings": timer.seconds,
            "attempt": attempt.name,
            "attempts": attempt.number,
            "started": started,
            "ended": datetime.now(UTC),
            **ending,
        }
    )
    store.write_record(record)
    for leftover in ("checkpoint.safetensors", "progress.json"):
        store.delete_tree(f"{store.trial(trial.id)}/{leftover}")
