"""An export format of another package: the model's own files, to be read with ``trainables`` alone."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from assay.production.check import Decide
from assay.production.export_format import ExportFormat
from trainables.runtime.deployed import Card, Decision, DeployedModel, load_deployed

__all__ = ["EXPORT"]


def _write(source: Path, model: DeployedModel, folder: Path) -> None:
    shutil.copytree(source, folder, dirs_exist_ok=True)


def _load(folder: Path) -> Decide:
    model = load_deployed(folder, torch.device("cpu"))

    def decide(photos: Sequence[NDArray[np.uint8]]) -> Decision:
        return model.decide([model.prepare(photo) for photo in photos])

    return decide


def _usage(card: Card) -> str:
    return f"Call `trainables.runtime.deployed.load_deployed`. Photos have {card.channels} channels."


EXPORT = ExportFormat(name="plain", write=_write, load=_load, usage=_usage)
