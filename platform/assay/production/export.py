"""A trial's model in a form for other programs: written, checked, and only then put in its place."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Protocol

import torch

from assay.production.check import TOLERANCE, Check, CheckPhotos, Judge, check_export
from assay.production.folder import new_folder
from assay.production.model import write_model
from assay.production.readme import Target, model_card
from assay.storage import Record, Store
from trainables.deployed import DeployedModel, load_deployed
from trainables.errors import InputError

__all__ = ["Form", "export_model"]


class Form(Protocol):
    """A way to write a model, and to read it back as its users will."""

    @property
    def name(self) -> Target: ...

    def write(self, source: Path, model: DeployedModel, folder: Path) -> None:
        """Write ``model``, whose files lie in ``source``, into an empty folder.

        Raises:
            InputError: If this model has no such form.
        """
        ...

    def load(self, folder: Path) -> Judge:
        """Read what :meth:`write` wrote."""
        ...


def export_model(store: Store, record: Record, form: Form, output: Path, photos: CheckPhotos) -> Check:
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
        form.write(source, model, folder)
        check = check_export(form.load(folder), model, photos)
        if not check.passed:
            raise InputError(
                f"an export differs from its model by {TOLERANCE} at most, found on {check}. "
                f"Nothing was written. The predict of {model.card.trainable} does something that "
                f"{form.name} computes otherwise."
            )
        (folder / "README.md").write_text(model_card(model.card, form.name, check), encoding="utf-8")
    return check
