"""The export format `onnx`: one file, preprocessing and thresholds inside.

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

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from assay.production.check import Decide
from assay.production.export_format import ExportFormat
from assay.production.readme import format_usage
from trainables.contract import Predictor
from trainables.data.sources import resize_image
from trainables.deployed import Card, Decision, DeployedModel
from trainables.errors import InputError

__all__ = ["CARD_KEY", "EXPORT", "OPSET", "OUTPUTS", "load_onnx", "write_onnx"]

OPSET = 20
OUTPUTS = ("score", "decision", "heatmap", "mask")
CARD_KEY = "assay"  # of the file's metadata: the card as JSON
_FILE = "model.onnx"
_MESSAGE_CHARACTERS = 300
_USAGE = """\
| name | type | shape | meaning |
|---|---|---|---|
| `images` (input) | uint8 | batch × {height} × {width} × {channels} | {colours}, resized by `INTER_LINEAR` |
| `score` | float64 | batch | in [0, 1], higher is more likely defective |
| `decision` | bool | batch | score ≥ {image!r} |
| `heatmap` | float32 | batch × {height} × {width} | in [0, 1] |
| `mask` | bool | batch × {height} × {width} | heatmap ≥ {pixel!r} |

```python
import cv2
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
photo = {read}
image = cv2.resize(photo, ({width}, {height}), interpolation=cv2.INTER_LINEAR)
images = image.reshape(1, {height}, {width}, {channels})
score, decision, heatmap, mask = session.run(None, {{"images": images}})
```

Scaling to [0, 1], normalisation and both thresholds are inside the graph. The card is in the file's metadata
too, as JSON under the key `assay`."""


_TILES = """

**The graph sees one tile.** Large images were cut into tiles of {tiles.height} × {tiles.width} pixels that
share {tiles.overlap}, and `photo` above is a tile. An image's score is the greatest of its tiles. Of their
heatmaps each loses half of what it shares with a neighbour (`trainables/data/tiles.py`). The format `mlflow`
does all of this."""


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
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of torchvision's absence
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about torch's own deprecated calls
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                input_names=["images"],
                output_names=OUTPUTS,
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:
        reason = " ".join(_root(error).split())[:_MESSAGE_CHARACTERS].rstrip(".")
        raise InputError(
            f"the predictor of {card.trainable} cannot be written as ONNX: its predict must be traceable by "
            f"torch.export with any batch size (see CONTRIBUTING.md). {reason}. Export it with --to mlflow."
        ) from error
    assert program is not None, "dynamo=True returns a program"
    program.model.metadata_props[CARD_KEY] = card.model_dump_json(exclude_none=True)
    program.save(path)


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


EXPORT = ExportFormat(
    name="onnx",
    write=lambda source, model, folder: write_onnx(model, folder / _FILE),
    load=lambda folder: load_onnx(folder / _FILE),
    usage=lambda card: format_usage(_USAGE, card) + (_TILES.format(tiles=card.tiles) if card.tiles else ""),
)
