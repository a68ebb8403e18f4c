"""One training as a value, and the few lines that carry it out: the same here and in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from assay.engine.train_run import Journal, TrainRun
from trainables.catalogue import find_trainable
from trainables.contract import Predictor, seed_for
from trainables.data.samples import TrainingData
from trainables.errors import InputError
from trainables.method_files import MethodSource

__all__ = ["MODEL_FOLDER", "ChildJob", "FitJob", "Fitted", "Peers", "fit"]

MODEL_FOLDER = "model"  # below the scratch folder


@dataclass(frozen=True, eq=False)
class FitJob:
    """A model to train, or stages to make, and the worker that does it."""

    trainable: str
    config: Mapping[str, Any]
    data: TrainingData
    seed: int
    fold: int | None
    device: str  # `cpu`, `cuda:0`
    gpu_share: float  # of its GPU, in (0, 1]; 1 on a CPU
    threads: int  # of torch; a result depends on it
    rank: int
    world_size: int
    scratch: Path  # folder of this training; the model is written to MODEL_FOLDER below it
    stages: frozenset[str] | None = None  # make these and no model


@dataclass(frozen=True)
class Peers:
    """Meeting place of the training processes of one trial, where it has several workers."""

    host: str
    port: int
    prefix: str
    backend: str  # of torch.distributed


@dataclass(frozen=True, eq=False)
class ChildJob:
    """The work of a training process. The images of ``job.data`` are in the file ``images``."""

    job: FitJob
    images: Path
    shape: tuple[int, int, int]  # height, width, channels
    source: MethodSource | None  # the method's code, where it is a file of a user's
    barred: tuple[Path, ...]  # folders that it gives up
    kept: tuple[Path, ...]  # what it keeps of them
    peers: Peers | None


class Fitted(NamedTuple):
    """A training that came to its end."""

    predictor: Predictor | None  # None: stages were made
    samples: int  # that this worker was given, over all epochs
    shard_hash: str  # of their positions, batch by batch


def fit(job: FitJob, journal: Journal) -> Fitted:
    """Train a model and write its files, or make stages. Whatever the method raises comes through."""
    import torch  # where it is carried out: who only describes it needs none

    device = torch.device(job.device)
    torch.manual_seed(seed_for(job.seed, job.fold, "torch") % 2**63)  # for libraries without a generator
    trainable = find_trainable(job.trainable)
    config = trainable.Config.model_validate(job.config)
    run = TrainRun(
        journal,
        seed=job.seed,
        fold=job.fold,
        device=device,
        rank=job.rank,
        world_size=job.world_size,
    )
    if job.stages is not None:
        for stage in trainable.stages(config):
            if stage.name in job.stages:
                run.stage(stage, job.data)
        return Fitted(None, run.samples, run.shard_hash)
    predictor = _predictor(trainable.fit(config, job.data, run), "a method's `fit`")
    predictor = _predictor(predictor.to(device), "a predictor's `to`")
    _save(predictor, job.scratch / MODEL_FOLDER)
    return Fitted(predictor, run.samples, run.shard_hash)


def _predictor(answer: Any, hook: str) -> Predictor:
    """The answer of a hook of the method, if it is a predictor.

    Raises:
        InputError: If it is not.
    """
    if lacking := [name for name in ("predict", "save", "to") if not callable(getattr(answer, name, None))]:
        kind = "None" if answer is None else f"a {type(answer).__name__} without {', '.join(lacking)}"
        raise InputError(f"{hook} returns a predictor, found {kind}. Mend it, so that it returns one.")
    return answer


def _save(predictor: Predictor, folder: Path) -> None:
    """Let the model write its files.

    Raises:
        InputError: If they are not what a record and an export read afterwards.
    """
    folder.mkdir()
    predictor.save(folder)
    names = [path.name + "/" * path.is_dir() for path in sorted(folder.iterdir())]
    if "model.safetensors" not in names or any(name.endswith("/") for name in names):
        raise InputError(
            "a predictor's `save` writes its weights as model.safetensors into the folder that it is given, "
            f"and makes no folders there, found {', '.join(names) or 'no file'}. Mend the method's `save`."
        )
