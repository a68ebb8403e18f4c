"""A trial's model in a format for other programs: written, checked, and only then put in its place."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from assay.production.check import TOLERANCE, Check, CheckPhotos, check_export, refuse_changing_model
from assay.production.export_format import ExportFormat
from assay.production.folder import new_folder
from assay.production.model import write_model
from assay.storage import Record, Store
from trainables.errors import InputError
from trainables.evaluation.metrics import METRICS
from trainables.runtime.deployed import Card, load_deployed

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
        refuse_changing_model(model, photos)
        export.write(source, model, folder)
        check = check_export(export.load(folder), model, photos)
        if not check.passed:
            raise InputError(
                f"an export differs from its model by {TOLERANCE} at most, found on {check}. "
                f"Nothing was written. The predict of {model.card.trainable} does something that "
                f"{export.name} computes otherwise."
            )
        (folder / "README.md").write_text(
            _model_card(model.card, export.usage(model.card), check), encoding="utf-8"
        )
    return check


def _model_card(card: Card, usage: str, check: Check) -> str:
    """Write the README of an export, as Markdown; ``usage``: how its format is called."""
    thresholds = card.thresholds
    metrics = "\n".join(_metric_row(name, value) for name, value in sorted(card.metrics.items()))
    versions = ", ".join(f"{name} {value}" for name, value in sorted(card.versions.items()))
    return f"""\
# {card.study}, {card.cell}

Trial `{card.trial}` of study `{card.study}`: `{card.trainable}` (revision {card.revision}), trained in
{card.precision}, exported in float32. A model that says how likely a surface is defective, and where.

## How to call it

{usage}

## What it decides by

Image threshold {thresholds.image!r} ({thresholds.image_source}), pixel threshold {thresholds.pixel!r}
({thresholds.pixel_source}).

## What it is worth

On the study's test images, at these thresholds:

| metric | value | unit |
|---|---|---|
{metrics}

## What was checked on export

{check}.

Trained with {versions or "unknown versions"}.
"""


def _metric_row(name: str, value: float) -> str:
    """A line of the table; the unit is empty where the metric's package is not installed."""
    metric = METRICS.get(name)
    text, unit = (f"{value:.4g}", "") if metric is None else (metric.text(value), metric.scale)
    return f"| {name} | {text} | {unit} |"
