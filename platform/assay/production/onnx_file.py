"""The file `model.onnx`: a trained model as a graph from bytes to decisions, and how it is run.

::

    images    uint8    batch × H × W × C, at the network's input size; grey, or BGR as OpenCV reads it
    score     float64  batch, in [0, 1]
    decision  bool     batch: score ≥ the image threshold
    heatmap   float32  batch × H × W, in [0, 1]
    mask      bool     batch × H × W: heatmap ≥ the pixel threshold

Any predictor is exported by tracing its own ``predict``. Resizing stays outside: OpenCV's bilinear resize of
bytes is a fixed-point one, and ONNX's differed from it by one grey level in an eighth of the pixels.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from assay.production.check import Decide
from trainables.contract import Predictor
from trainables.data.sources import resize_image
from trainables.deployed import Card, Decision, DeployedModel
from trainables.errors import InputError

__all__ = ["CARD_KEY", "OPSET", "OUTPUTS", "load_onnx", "trace_onnx", "write_onnx"]

OPSET = 20
OUTPUTS = ("score", "decision", "heatmap", "mask")
CARD_KEY = "assay"  # of the file's metadata: the card as JSON
_MESSAGE_CHARACTERS = 300


class _Graph(nn.Module):
    """The graph that is traced: bytes in, decisions out."""

    def __init__(self, predictor: Predictor, image: float, pixel: float) -> None:
        super().__init__()
        self.predictor, self.image, self.pixel = predictor, image, pixel

    def forward(self, images_BHWC: Tensor) -> tuple[Tensor, ...]:
        prediction = self.predictor.predict(images_BHWC.permute(0, 3, 1, 2).float() / 255)
        score_B, heatmap_BHW = prediction.score.double(), prediction.heatmap.float()
        return score_B, score_B >= self.image, heatmap_BHW, heatmap_BHW >= self.pixel


def write_onnx(model: DeployedModel, path: Path) -> None:
    """Trace ``model`` (on the CPU) with a free batch size and write it, its card in the metadata.

    Raises:
        InputError: If the predictor cannot be traced.
    """
    card = model.card
    graph = _Graph(model.predictor, card.thresholds.image, card.thresholds.pixel).eval()
    # Noise decides nothing; two images, because a batch of one would be taken for a constant.
    rng = np.random.default_rng(0)
    example = torch.from_numpy(rng.integers(0, 256, (2, *card.image_size, card.channels), np.uint8))
    try:
        program = trace_onnx(
            graph,
            example,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            input_names=["images"],
            output_names=OUTPUTS,
        )
    except Exception as error:
        reason = " ".join(_root(error).split())[:_MESSAGE_CHARACTERS].rstrip(".")
        raise InputError(
            f"the predictor of {card.trainable} cannot be written as ONNX: its predict must be traceable by "
            f"torch.export with any batch size (see CONTRIBUTING.md). {reason}. Export it with --to mlflow."
        ) from error
    program.model.metadata_props[CARD_KEY] = card.model_dump_json(exclude_none=True)
    program.save(path)


def trace_onnx(graph: nn.Module, example: Tensor, **names: Any) -> torch.onnx.ONNXProgram:
    """Trace a graph on one example, without what torch tells of its own calls on the way."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of torchvision's absence
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own deprecated calls
        program = torch.onnx.export(
            graph, (example,), dynamo=True, opset_version=OPSET, verbose=False, **names
        )
    assert program is not None, "dynamo=True returns a program"
    return program


def load_onnx(path: Path) -> Decide:
    """An ONNX file in ONNX Runtime on the CPU, with the resize that its card asks for before it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    card = Card.model_validate_json(session.get_modelmeta().custom_metadata_map[CARD_KEY])

    def decide(photos: Sequence[NDArray[np.uint8]]) -> Decision:
        images = np.stack([resize_image(photo, card.image_size) for photo in photos])
        return Decision(*(np.asarray(part) for part in session.run(OUTPUTS, {"images": images})))

    return decide


def _root(error: BaseException) -> str:
    """The message at the bottom of a chain of errors: those above speak of torch's own steps."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"
