"""Kept models in MLflow: each beside its run, as a model that ``mlflow.pyfunc`` loads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from assay.production.check import check_photos
from assay.production.export import export_model
from assay.production.model import model_files
from assay.storage import Record, Store
from assay.storage.mlflow_marker import runs_of
from assay.study import Plan
from assay.tracking.pyfunc import PYFUNC
from trainables.errors import InputError

__all__ = ["LoggedModel", "log_models"]

_ARTIFACT = "model"


class LoggedModel(NamedTuple):
    """A kept model and where MLflow has it."""

    record: Record
    uri: str  # for `mlflow.pyfunc.load_model`
    new: bool
    trouble: str  # why it is not there; "" where it is


def log_models(store: Store, plan: Plan, uri: str, cache: Path) -> Iterator[LoggedModel]:
    """Log the models that ``keep`` left, each into its trial's run; those that are there stay.

    Each is compared with the trial's own model on photos that the trial kept, as an export is.

    Args:
        store: Where the models lie.
        plan: The study's.
        uri: MLflow's store or server, which was told of the study.
        cache: Where archives of data are unpacked, if need be.
    """
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    runs = runs_of(store, plan.study.study, uri)
    for record in store.records(runs).values():
        if not model_files(record):
            continue
        run = runs[record.id]
        address = f"runs:/{run}/{_ARTIFACT}"
        if client.list_artifacts(run, _ARTIFACT):
            yield LoggedModel(record, address, new=False, trouble="")
            continue
        try:
            with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
                folder = Path(scratch) / _ARTIFACT
                export_model(store, record, PYFUNC, folder, check_photos(store, record, None, cache))
                client.log_artifacts(run, str(folder), _ARTIFACT)
        except InputError as error:
            yield LoggedModel(record, address, new=False, trouble=str(error))
        else:
            yield LoggedModel(record, address, new=True, trouble="")
