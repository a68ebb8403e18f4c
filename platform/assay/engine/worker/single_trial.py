"""One trial in this process, for notebooks: its data, its training, and all that its record names."""

from __future__ import annotations

import os
import socket
import tempfile
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from assay.engine.durations import Limits
from assay.engine.errors import error_line
from assay.engine.trial_batch import BatchRun, TrialBatch
from assay.engine.worker.train_trials import train_trials
from assay.engine.worker.trial import TrialData
from assay.engine.worker.worker import BatchWorker
from assay.storage import Record, Store
from assay.study import Plan, Study, Trial
from assay.study.file.schema import Keep
from assay.study.planning.repeats import UNKNOWN
from trainables.contract import Predictor
from trainables.data.samples import TrainingData
from trainables.errors import InputError, text_of
from trainables.nn.evaluation_mode import set_evaluation_mode
from trainables.plugins.catalogue import find_trainable

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["TrainedTrial", "train_here", "training_data"]

_MODEL = "model/"


@dataclass(frozen=True)
class TrainedTrial:
    """A trial that has ended. One without a result (``record.status``) has neither tables nor model."""

    record: Record
    curve: pd.DataFrame | None = field(repr=False)  # a row per epoch
    predictions: pd.DataFrame | None = field(repr=False)  # a row per test image
    maps: pa.Table | None = field(
        repr=False
    )  # of probe images, for `trainables.evaluation.heatmaps.read_probe`
    model: Predictor | None = field(repr=False)  # None, too, where the method cannot load what it saved


def training_data(trial: Trial, data_root: Path | None, cache: Path) -> TrainingData:
    """The data of a trial as its method gets them.

    Raises:
        InputError: If they are not those of the plan.
    """
    with _lone_worker(trial, data_root, cache, probes=0) as worker:
        return TrialData.open(trial, worker).training()


def train_here(trial: Trial, data_root: Path | None, cache: Path, *, probes: int) -> TrainedTrial:
    """Train and evaluate a trial on the CPU, with one thread, as a worker does; keep ``probes`` test images.

    Raises:
        InputError: If the data are not those of the plan.
    """
    with _lone_worker(trial, data_root, cache, probes) as worker:
        TrialData.open(trial, worker)  # refuses other data than the plan's

        # Results depend on the number of threads: it is the plan's while the trial trains, and the notebook's
        # again afterwards.
        threads = torch.get_num_threads()
        torch.set_num_threads(worker.batch.study.resources.cpus)
        try:
            train_trials(worker)
        finally:
            torch.set_num_threads(threads)
        record = worker.store.record(trial.id)
        assert isinstance(record, Record), "a trial ends with a record"
        curve, predictions, maps = (
            worker.store.read_part(record, f"{part}.parquet") for part in ("curve", "predictions", "maps")
        )
        return TrainedTrial(
            record=record,
            curve=None if curve is None else curve.to_pandas(),
            predictions=None if predictions is None else predictions.to_pandas(),
            maps=maps,
            model=_model(record, worker.store),
        )


@contextmanager
def _lone_worker(trial: Trial, data_root: Path | None, cache: Path, probes: int) -> Generator[BatchWorker]:
    """This process as the worker of a batch of one trial, whose storage is gone afterwards.

    Raises:
        InputError: If the plan was made without data.
    """
    if trial.manifest == UNKNOWN:
        raise InputError(
            f"a trial names its data by their hash, and trial {trial.id} comes from a plan that opened none "
            "(with_data=False). Plan with data, whose ids are those of a run."
        )
    with tempfile.TemporaryDirectory(prefix="assay-") as folder:
        # A study of this one trial, whatever its own one asks of the machine.
        study = Study(study="notebook", question="", data=trial.data, keep=Keep(models="all", probes=probes))
        plan = Plan(
            study=study, cells=(), trials=(trial,), comparisons=(), manifests={}, warnings=(), gigabytes=None
        )
        root = None if data_root is None else str(data_root)
        run = BatchRun(id="here", study=study.study, data_root=root, cache=str(cache))
        batch = TrialBatch("0000", run, plan, plan.trials, stages=(), limits=Limits(None, None))
        yield BatchWorker(batch, Store(folder), 0, 1, socket.gethostname(), os.getpid(), "cpu")


def _model(record: Record, store: Store) -> Predictor | None:
    """The model as it was saved; None where there is none, or the method cannot load it."""
    names = [name.removeprefix(f"{record.attempt}/") for name in record.files]
    saved = {name.removeprefix(_MODEL): name for name in names if name.startswith(_MODEL)}
    if not saved:
        return None
    with tempfile.TemporaryDirectory(prefix="assay-") as folder:
        for file, name in saved.items():
            data = store.read_file(record, name)
            assert data is not None, "the record names the file"
            (Path(folder) / file).write_bytes(data)
        name = record.trial["trainable"]
        try:
            model = find_trainable(name).load(Path(folder))
        except Exception as error:  # noqa: BLE001 - said; the record and its tables are whole without a model
            why = text_of(error) if isinstance(error, InputError) else error_line(error)
            warnings.warn(f"{name} cannot load the model that it saved: {why}", stacklevel=4)
            return None
        set_evaluation_mode(model)
        return model
