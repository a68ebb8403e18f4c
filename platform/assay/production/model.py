"""A trained trial as an object that scores images: from the storage, its files checked against the record."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch

from assay.storage import DamagedRecord, Record, Store
from assay.storage.method_store import read_method
from assay.storage.plans import is_left_out, left_out
from assay.storage.predictions import image_scores_of
from assay.storage.store import DamagedFileError
from trainables.data.inspect.findings import summarise
from trainables.errors import InputError
from trainables.evaluation.evaluate import FIXED_THRESHOLD
from trainables.evaluation.scorer import Thresholds
from trainables.plugins.catalogue import find_trainable
from trainables.plugins.method_files import is_file_method
from trainables.runtime.deployed import (
    CARD_FILE,
    METHOD_FOLDER,
    Card,
    DeployedModel,
    default_device,
    load_deployed,
)
from trainables.runtime.device import set_exact

__all__ = [
    "card_of",
    "in_float32",
    "load_model",
    "models_named",
    "revision_warning",
    "trained_record",
    "write_model",
]

_LISTED = 5  # trials named in a message
_UNDECIDED = Thresholds(
    image=FIXED_THRESHOLD,
    image_source=f"fixed {FIXED_THRESHOLD}",
    pixel=FIXED_THRESHOLD,
    pixel_source=f"fixed {FIXED_THRESHOLD}",
)


def trained_record(store: Store, trial_id: str) -> Record:
    """The record of a trial that has a model.

    Raises:
        InputError: If it has no readable record, did not finish, or its model was not kept.
    """
    record = store.record(trial_id)
    if record is None:
        raise InputError(f"trial {trial_id} is not trained yet. `assay status` shows how far its study is.")
    if isinstance(record, DamagedRecord):
        raise InputError(str(record))
    if record.status != "finished":
        raise InputError(
            f"a model comes from a trial that finished, found {record.status}: "
            f"{record.reason or 'no reason noted'}. Choose another trial of {record.study}."
        )
    if not model_files(record):
        raise InputError(
            f"the model of trial {trial_id} was not kept (`keep: {{models: …}}` in the study). "
            + _models_left(store, record.study)
        )
    return record


def card_of(record: Record, store: Store | None = None) -> Card:
    """Collect what must be known of a finished trial's model to use it.

    Args:
        record: The trial's.
        store: Where its predictions lie; None: errors on the test are left out.
    """
    result, trial = record.result, record.trial
    assert result is not None, "a finished trial has a result"
    thresholds = result.thresholds
    images = None if store is None else image_scores_of(record, store.read_part)
    errors: dict[str, tuple[int, int]] = {}
    if images is not None:
        parts = images.parts_or_images
        errors = {
            "false alarms": (parts.fp, parts.fp + parts.tn),
            "escapes": (parts.fn, parts.fn + parts.tp),
        }
    return Card(
        trial=record.id,
        study=record.study,
        cell=trial["cell"],
        trainable=trial["trainable"],
        revision=trial["revision"],
        image_size=trial["config"]["image_size"],
        channels=trial["config"]["channels"],
        precision=trial["config"]["precision"],
        thresholds=thresholds or _UNDECIDED,  # as a card has them, without the range of the draws
        trained_threshold=None,
        recalibrated=None,
        metrics=result.metrics,
        test_errors=errors,
        versions=record.environment.versions | record.environment.imports,
        imports=record.environment.imports,
        item=trial["data"].get("item"),
        tiles=trial["data"].get("tiles"),
        white=result.white,
    )


def load_model(store: Store, record: Record, device: torch.device | None = None) -> DeployedModel:
    """The model of a trial, in a process with the arithmetic that it was evaluated with.

    Args:
        store: Where the trial lies.
        record: Of :func:`trained_record`.
        device: On which it predicts; None: the first GPU if there is one, else the CPU.

    Raises:
        InputError: If a file is missing or not what the record says, or the method is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="assay-") as folder:
        write_model(store, record, Path(folder))
        where = device or default_device()
        set_exact(where)
        return load_deployed(Path(folder), where)


def write_model(store: Store, record: Record, folder: Path, *, float32: bool = False) -> None:
    """Copy a trial's model and its card into an existing folder; every file's sha256 is checked.

    Args:
        store: Where the trial lies.
        record: Of :func:`trained_record`.
        folder: Where to.
        float32: Set the model's ``precision`` to float32: what is shipped runs on machines that know no
            bfloat16.

    Raises:
        InputError: If a file is missing or not what the record says.
    """
    for name in model_files(record):
        try:
            data = store.read_file(record, f"model/{name}")
        except (DamagedFileError, FileNotFoundError) as error:
            if is_left_out(store, f"{store.trial(record.id)}/{record.attempt}/model/{name}", left_out(store)):
                raise InputError(
                    f"the model of trial {record.id} was left out of this copy of a storage: {store.uri}. "
                    "Ask who made it for the model, or train the study anew into another storage."
                ) from error
            raise InputError(
                f"the model of trial {record.id} cannot be read: {error}. Train the trial again: remove "
                f"{store.trial(record.id)} from {store.uri}, then `assay run`."
            ) from error
        assert data is not None, "the record names it"
        if float32 and name == "config.json":
            data = in_float32(data)
        (folder / name).write_bytes(data)

    # A method that is a file of the user's travels with its model: nobody else has it.
    if is_file_method(record.trial["trainable"]):
        for path, data in read_method(store, record.trial["trainable"]).files.items():
            (folder / METHOD_FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / METHOD_FOLDER / path).write_bytes(data)
    (folder / CARD_FILE).write_text(
        card_of(record, store).model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8"
    )


def revision_warning(card: Card) -> str | None:
    """Warn of an installed method that is not the one that trained the model."""
    now = find_trainable(card.trainable).revision
    if now == card.revision:
        return None
    return (
        f"trial {card.trial} was trained by revision {card.revision} of {card.trainable}, installed is "
        f"{now}: its predictions may differ from those that were measured"
    )


def in_float32(config: bytes) -> bytes:
    """The settings of a model with ``precision`` float32."""
    settings = json.loads(config)
    if "precision" in settings:  # the field of TrainableConfig; a method may save less than its config
        settings["precision"] = "float32"
    return json.dumps(settings, indent=2).encode()


def model_files(record: Record) -> list[str]:
    """Names of the model's files below ``model/``; none when it was not kept."""
    start = f"{record.attempt}/model/"
    return [path.removeprefix(start) for path in record.files if path.startswith(start)]


def models_named(store: Store) -> str:
    """A sentence with the trials of a storage that have a model; "" where none has."""
    kept = _with_model(store)
    named = [f"{record.id} ({record.study}, {_repeat(record)})" for record in kept]
    return f"Trials with a model: {summarise(named, _LISTED)}." if named else ""


def _models_left(store: Store, study: str) -> str:
    kept = [f"{record.id} ({_repeat(record)})" for record in _with_model(store) if record.study == study]
    if not kept:
        return (
            f"No trial of {study} has a model: set `keep: {{models: all}}`, remove this trial's folder from "
            "the storage, and `assay run` trains it again."
        )
    return f"Trials of {study} with a model: {summarise(kept, _LISTED)}."


def _with_model(store: Store) -> list[Record]:
    records = store.records(store.trials()).values()
    return [record for record in records if record.status == "finished" and model_files(record)]


def _repeat(record: Record) -> str:
    return f"{record.trial['cell']}, seed {record.trial['seed']}"
