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
from assay.study.names import counted
from trainables.errors import InputError
from trainables.evaluation.metrics import METRICS
from trainables.evaluation.operating_point import rate_text
from trainables.runtime.deployed import Card, load_deployed

__all__ = ["export_model", "model_card"]


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

        # The trial's own model is compared in float32, too, or a difference in rounding would count as a
        # fault of the export.
        write_model(store, record, source, float32=True)
        model = load_deployed(source, torch.device("cpu"))
        refuse_changing_model(model, photos)

        # The export is read back as its users will read it, so that the file is compared and not what was
        # meant to be written.
        export.write(source, model, folder)
        check = check_export(export.load(folder), model, photos)
        if not check.passed:
            raise InputError(
                f"an export differs from its model by {TOLERANCE} at most, found on {check}. "
                f"Nothing was written. The predict of {model.card.trainable} does something that "
                f"{export.name} computes otherwise."
            )
        (folder / "README.md").write_text(
            model_card(model.card, export.usage(model.card), str(check)), encoding="utf-8"
        )
    return check


def model_card(card: Card, usage: str, checked: str) -> str:
    """The README of an export, as Markdown.

    Args:
        card: Of the model.
        usage: How its format is called.
        checked: What was checked when it was written.
    """
    thresholds = card.thresholds
    at, title = "these thresholds", f"{card.study}, {card.cell}"
    if card.recalibrated is not None:
        title += f", recalibrated {card.recalibrated:%Y-%m-%d}"
    if card.trained_threshold is not None:
        at = f"the trial's own image threshold {card.trained_threshold!r}, not at the one above"
    metrics = "\n".join(_metric_row(name, value) for name, value in sorted(card.metrics.items()))
    versions = ", ".join(f"{name} {value}" for name, value in sorted(card.versions.items()))
    return f"""\
# {title}
{_recalibration(card)}
Trial `{card.trial}` of study `{card.study}`: `{card.trainable}` (revision {card.revision}), trained in
{card.precision}, exported in float32. A model that says how likely a surface is defective, and where.

## How to call it

{usage}

## What it decides by

Image threshold {thresholds.image!r} ({thresholds.image_source}), pixel threshold {thresholds.pixel!r}
({thresholds.pixel_source}).
{_promise(card)}
## What it is worth

{_errors(card)}On the study's test images, at {at}:

| metric | value | unit |
|---|---|---|
{metrics}

## What was checked on export

{checked}.

Trained with {versions or "unknown versions"}.
"""


def _recalibration(card: Card) -> str:
    """What was set anew, when, and by how many parts; empty where the threshold is the trial's."""
    promise = card.thresholds.promise
    if card.recalibrated is None or promise is None:
        return ""
    parts, old = counted(promise.parts, "good part"), card.trained_threshold
    return f"""
**Recalibrated on {card.recalibrated:%Y-%m-%d %H:%M} UTC by {parts}:** the image threshold is
{card.thresholds.image!r}, the trial's own was {old!r}. Weights and pixel threshold are the trial's. How many
defects escape at the new threshold is unknown.
"""


def _promise(card: Card) -> str:
    """What the image threshold promises; empty where it promises nothing."""
    promise = card.thresholds.promise
    return "" if promise is None else f"\nThe image threshold promises {promise}.\n"


def _errors(card: Card) -> str:
    """Wrong decisions on the study's test parts; empty where they are not known at the card's threshold."""
    if not card.test_errors:
        return ""
    rates = ", ".join(f"{kind} {rate_text(*errors)}" for kind, errors in card.test_errors.items())
    return f"On the study's test parts, with the exact upper limit (95 % sure): {rates}.\n\n"


def _metric_row(name: str, value: float) -> str:
    """A line of the table; the unit is empty where the metric's package is not installed."""
    metric = METRICS.get(name)
    text, unit = (f"{value:.4g}", "") if metric is None else (metric.text(value), metric.scale)
    return f"| {name} | {text} | {unit} |"
