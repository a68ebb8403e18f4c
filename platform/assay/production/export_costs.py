"""Costs of a trained model as `assay export --to onnx` writes it: its latency, memory and size.

The file is run by ONNX Runtime on the CPU, in a process that loads nothing else (:mod:`onnx_timing`), as by a
program that uses it. It takes turns with a small fixed network: a machine that is busy slows both.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from assay.production.model import in_float32
from assay.production.onnx_file import trace_onnx, write_onnx
from assay.storage.record import ExportCosts
from trainables.catalogue import find_trainable
from trainables.deployed import Card, DeployedModel
from trainables.errors import InputError
from trainables.latency import reference_network

__all__ = ["export_costs"]

_TIMING = Path(__file__).with_name("onnx_timing.py")
_MOST_SECONDS = 600


def export_costs(folder: Path, card: Card, images: NDArray[np.uint8], threads: int) -> ExportCosts:
    """Export the model in ``folder`` and measure what was written.

    Args:
        folder: The model's own files, as a trial keeps them.
        card: Of the trial.
        images: N × H × W × C at the network's input size: one image, or the tiles of one.
        threads: Of ONNX Runtime.

    Raises:
        InputError: If the predictor cannot be traced, or the file cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        source, written = Path(scratch) / "model", Path(scratch) / "model.onnx"
        shutil.copytree(folder, source)
        settings = source / "config.json"
        if settings.exists():  # a method may have none
            settings.write_bytes(in_float32(settings.read_bytes()))
        device = torch.device("cpu")
        predictor = find_trainable(card.trainable).load(source).to(device)
        write_onnx(DeployedModel(predictor, card, device), written)
        reference, image_file = Path(scratch) / "reference.onnx", Path(scratch) / "images.npy"
        reference.write_bytes(_reference_file())
        np.save(image_file, images)
        command = [sys.executable, "-P", _TIMING, written, reference, image_file, str(threads)]
        try:
            timed = subprocess.run(command, capture_output=True, text=True, timeout=_MOST_SECONDS, check=True)
        except subprocess.TimeoutExpired as error:
            raise InputError(f"an export is timed within {_MOST_SECONDS} s, and this one was not") from error
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
            raise InputError(f"an export is run by ONNX Runtime, and this one ended with {last}") from error
        return ExportCosts(size_mb=written.stat().st_size / 1e6, **json.loads(timed.stdout))


@cache
def _reference_file() -> bytes:
    network, image = reference_network(torch.device("cpu"))
    return trace_onnx(network, image).model_proto.SerializeToString()
