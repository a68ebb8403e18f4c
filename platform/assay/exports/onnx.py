"""The export format `onnx`: one file, preprocessing and thresholds inside (`assay.production.onnx_file`)."""

from __future__ import annotations

from pathlib import Path

from assay.production.check import Decide
from assay.production.export_format import ExportFormat, format_usage
from assay.production.onnx_file import OnnxModel, load_onnx, write_onnx
from trainables.errors import InputError
from trainables.program.training import ProgramPredictor
from trainables.runtime.deployed import DeployedModel

__all__ = ["EXPORT"]

_FILE = "model.onnx"
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


def _decide_photos(model: OnnxModel) -> Decide:
    return lambda photos: model.decide([model.prepare(photo) for photo in photos])


def _write(source: Path, model: DeployedModel, folder: Path) -> None:
    # A program is run from outside and has no graph that PyTorch could trace.
    if isinstance(model.predictor, ProgramPredictor):
        raise InputError(
            f"an ONNX file is traced in PyTorch, found {model.card.trainable}, a program of its own. Use "
            "`--to files`, or `--to mlflow`, which runs it"
        )
    write_onnx(model, folder / _FILE)


EXPORT = ExportFormat(
    name="onnx",
    write=_write,
    load=lambda folder: _decide_photos(load_onnx(folder / _FILE)),
    usage=lambda card: format_usage(_USAGE, card) + (_TILES.format(tiles=card.tiles) if card.tiles else ""),
)
