"""A trial's model in a format for other programs: written, checked, and only then put in its place."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from assay.production.check import TOLERANCE, Check, CheckPhotos, check_export
from assay.production.export_format import ExportFormat
from assay.production.folder import new_folder
from assay.production.model import write_model
from assay.production.readme import model_card
from assay.storage import Record, Store
from trainables.deployed import load_deployed
from trainables.errors import InputError

__all__ = ["export_model"]


def export_model(
    store: Store, record: Record, export: ExportFormat, output: Path, photos: CheckPhotos
) -> Check:
    """Write the model of a trial into the new folder ``output``, with a model card.

    Raises:
        InputError: If the model is missing or cannot be written so; or if what was written says
            something else than the trial's own model on ``photos``. Nothing is left then.
    """
    with new_folder(output) as folder, tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        source = Path(scratch) / "model"  # its name stays in an MLflow model
        source.mkdir()
        write_model(store, record, source, float32=True)
        model = load_deployed(source, torch.device("cpu"))
        export.write(source, model, folder)
        check = check_export(export.load(folder), model, photos)
        if not check.passed:
            raise InputError(
                f"an export differs from its model by {TOLERANCE} at most, found on {check}. "
                f"Nothing was written. The predict of {model.card.trainable} does something that "
                f"{export.name} computes otherwise."
            )
        (folder / "README.md").write_text(
            model_card(model.card, export.usage(model.card), check), encoding="utf-8"
        )
    return check
