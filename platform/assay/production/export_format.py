"""The declaration of an export format: how a model is written, read back, and used by others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from assay.production.check import Decide
from trainables.deployed import Card, DeployedModel

__all__ = ["ExportFormat"]


@dataclass(frozen=True)
class ExportFormat:
    """One format of `assay export`. A file of ``assay.exports``, or of another package, has it as ``EXPORT``.

    ``write(source, model, folder)`` writes ``model`` into an empty folder. It raises an ``InputError`` if
    this model has no such format. ``source`` is a folder with the model's own files (``model.safetensors``,
    ``config.json``, the card), which may be copied.

    ``load(folder)`` reads that folder back as its users will. What it says on photos is compared with the
    model before anything is left.
    """

    name: str  # what --to names
    write: Callable[[Path, DeployedModel, Path], None]
    load: Callable[[Path], Decide]
    usage: Callable[[Card], str]  # Markdown for the README: inputs, outputs, and code that calls it
