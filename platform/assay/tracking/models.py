"""Kept models in MLflow: outputs of their runs, as ``mlflow.pyfunc`` loads them; the best one registered."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from assay.analysis.best_model import best_cell, worth_on_validation
from assay.analysis.results.results import StudyResults
from assay.production.check import check_photos
from assay.production.export import export_model
from assay.production.model import model_files
from assay.storage import Record, Store
from assay.storage.mlflow_sync_state import runs_of
from assay.study import Plan
from assay.tracking.addresses import as_opened, in_short
from assay.tracking.pyfunc import PYFUNC
from trainables.errors import InputError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

__all__ = ["LoggedModel", "log_model", "log_models", "register_best_model"]

_NOT_IN_A_NAME = re.compile(r"[/:.%\"']")  # of a logged model, MLflow's rule


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
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient(as_opened(uri))
    runs = runs_of(store, plan.study.study, uri)
    for record in store.records(runs).values():
        if not model_files(record):
            continue
        model, new, trouble = None, False, ""
        try:
            # A model that was logged before stays, so that the command can be given again.
            model = _logged(client, runs[record.id])
            if model is None:
                with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
                    folder = Path(scratch) / "model"
                    export_model(store, record, PYFUNC, folder, check_photos(store, record, None, cache))
                    model, new = log_model(client, runs[record.id], record, folder), True
        except InputError as error:
            trouble = str(error)
        except MlflowException as error:
            trouble = f"MLflow refuses it: {in_short(error)}"
        yield LoggedModel(record, "" if model is None else f"models:/{model}", new, trouble)


def _logged(client: MlflowClient, run: str) -> str | None:
    """Id of the model that was logged in a run; None where there is none that is whole."""
    outputs = client.get_run(run).outputs
    for output in outputs.model_outputs if outputs else ():
        if client.get_logged_model(output.model_id).status == "READY":
            return output.model_id
    return None


def log_model(client: MlflowClient, run: str, record: Record, folder: Path) -> str:
    """Log the model in ``folder`` as an output of its run, which shows it.

    Returns:
        Its id: ``models:/ID`` is its address.

    Raises:
        MlflowException: If MLflow refuses it.
    """
    from mlflow.entities import LoggedModelOutput

    cell, seed = record.trial["cell"], record.trial["seed"]
    model = client.create_logged_model(
        client.get_run(run).info.experiment_id,
        _NOT_IN_A_NAME.sub("_", f"{cell} seed {seed}"),
        source_run_id=run,
        tags={"assay.study": record.study, "assay.cell": cell, "assay.trial": record.id},
        model_type=record.trial["trainable"],
    )
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run, [LoggedModelOutput(model.model_id, 0)])  # last: a run names whole models alone
    return model.model_id


def register_best_model(store: Store, results: StudyResults, uri: str) -> str:
    """Register the best model, which :func:`log_models` logged, under the study's name; once.

    It is of the cell with the best mean of the primary metric on *validation* images, and of its kept
    models the one that is best there: a choice by test scores would choose with the test data.

    Returns:
        Its address, ``models:/quickstart/1``.

    Raises:
        InputError: If no cell has validation scores, that cell has kept no model that was logged, or
            MLflow refuses it.
    """
    from mlflow.exceptions import MlflowException

    try:
        return _registered(store, results, uri)
    except MlflowException as error:
        raise InputError(
            f"MLflow registers no model of {results.name}: {in_short(error)}. Mend that, and try again."
        ) from error


def _registered(store: Store, results: StudyResults, uri: str) -> str:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client, name = MlflowClient(as_opened(uri)), results.name

    # The best cell is chosen on validation images. Test images choose nothing, so that their scores stay
    # true.
    runs, cell, value = runs_of(store, name, uri), *best_cell(results)
    trials = [trial.id for trial in results.reported.trials if trial.cell == cell]
    models = {
        trial: model
        for trial in trials
        if trial in runs and trial in results.records and (model := _logged(client, runs[trial]))
    }
    if not models:
        raise InputError(
            f"the best cell is registered with a model that was kept, and {cell}, the best of {name} on "
            "validation images, has none in MLflow. `keep: {models: best_per_cell}` keeps them."
        )
    best = max((results.records[trial] for trial in models), key=partial(worth_on_validation, results))
    run, model = runs[best.id], models[best.id]
    try:
        client.create_registered_model(name, {"assay.study": name}, results.plan.study.question)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise

    # A run that is registered already keeps its version: asking twice is asking once.
    for version in client.search_model_versions(f"name = '{name}' and run_id = '{run}'"):
        return f"models:/{name}/{version.version}"
    # Not `models:/ID`: MLflow would look for that where its own variable says, and not at ``uri``.
    source = client.get_logged_model(model).artifact_location
    made = client.create_model_version(
        name,
        source,
        run,
        {"assay.study": name, "assay.cell": cell, "assay.trial": best.id},
        description=f"{cell}: the best of {len(results.reported.cells)} cells by the mean of "
        f"{results.primary.name} on validation images, {value:.4g}. `assay report {name}` says whether the "
        "difference is shown.",
    )
    # By this tag MLflow's pages of run and model lead to the version.
    versions = json.dumps([{"name": name, "version": made.version}])
    client.set_logged_model_tags(model, {"mlflow.modelVersions": versions})
    return f"models:/{name}/{made.version}"
