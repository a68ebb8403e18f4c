"""Training in this process, for debuggers and notebooks."""

from __future__ import annotations

import traceback
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from assay.engine.errors import DiedError, fault_of
from assay.engine.process.fit import FitJob, fit
from assay.engine.process.process import Trained, weights_of
from assay.engine.worker.trial_log import StoredLog
from trainables.contract import Predictor
from trainables.data.cache import ArrowImages
from trainables.errors import StorageError, TransientError
from trainables.evaluation.model_scorer import ModelScorer
from trainables.evaluation.scorer import Scores
from trainables.runtime.device import forget_peak_memory, peak_memory_mb, prepare_gpu

__all__ = ["TrainHere"]


class TrainHere:
    """Trains in this process: a breakpoint in a method is reached, and an end of the process is its end."""

    @contextmanager
    def train(self, job: FitJob, images: ArrowImages, trial_log: StoredLog) -> Generator[Trained]:
        device = torch.device(job.device)
        torch.set_num_threads(job.threads)
        prepare_gpu(device, job.gpu_share)
        forget_peak_memory(device)
        with _methods_errors(job.trainable):
            fitted = fit(job, trial_log)
        predictor = fitted.predictor
        model = None if predictor is None else _ScorerHere(predictor, job)
        peak = peak_memory_mb(device)
        yield Trained(
            model,
            weights_of(job),
            fitted.samples,
            fitted.shard_hash,
            peak,
            "nothing: one process",
            torch.get_num_threads(),
            torch.backends.cpu.get_cpu_capability(),
        )


class _ScorerHere(ModelScorer):
    """A model of this process, whose errors are told as those of its training are."""

    def __init__(self, predictor: Predictor, job: FitJob) -> None:
        super().__init__(predictor, torch.device(job.device))
        self._trainable = job.trainable

    def score(self, images: Sequence[NDArray[np.uint8]], known: Collection[str] | None = None) -> Scores:
        with _methods_errors(self._trainable):
            return super().score(images, known)

    def erasure_drops(self, images: Sequence[NDArray[np.uint8]]) -> list[float]:
        with _methods_errors(self._trainable):
            return super().erasure_drops(images)


@contextmanager
def _methods_errors(trainable: str) -> Generator[None]:
    """Raise what would end this process, or pass for the machine's fault, as its own process tells it."""
    try:
        yield
    except TransientError as error:
        raise DiedError(str(error), "Find out what the program lacked, or who killed it") from error
    except (SystemExit, MemoryError, OSError) as error:
        # Faults of the machine, of the storage and of the log pass through: none of them is a failure of the
        # method.
        fault = fault_of(error, trainable)
        if fault.kind == "system" or isinstance(error, StorageError) or _is_of_the_log(error):
            raise
        raise fault from error


def _is_of_the_log(error: BaseException) -> bool:
    """Tell an error of the trial log from one of the training, which calls it."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") == StoredLog.__module__ for frame, _ in frames)
