"""The model card that lies beside an exported model: what it is, how to call it, what was checked."""

from __future__ import annotations

from typing import Literal

from assay.production.check import Check
from trainables.deployed import Card

__all__ = ["Target", "model_card"]

Target = Literal["onnx", "mlflow"]

_ONNX = """\
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
photo = cv2.imread("photo.png", cv2.{flag})
image = cv2.resize(photo, ({width}, {height}), interpolation=cv2.INTER_LINEAR)
images = image.reshape(1, {height}, {width}, {channels})
score, decision, heatmap, mask = session.run(None, {{"images": images}})
```

Scaling to [0, 1], normalisation and both thresholds are inside the graph. The card is in the file's metadata
too, as JSON under the key `assay`."""

_MLFLOW = """\
| name | type | shape | meaning |
|---|---|---|---|
| (input) | uint8 | {shape} | {colours}, of any size |
| `score` | float64 | N | in [0, 1], higher is more likely defective |
| `decision` | bool | N | score ≥ {image!r} |
| `heatmap` | float32 | N × {height} × {width} | in [0, 1], at the network's input size |
| `mask` | uint8 | N × H × W | 1 where heatmap ≥ {pixel!r}, at the images' own size |

```python
import cv2
import mlflow.pyfunc

model = mlflow.pyfunc.load_model("this/folder")
photo = cv2.imread("photo.png", cv2.{flag})
answer = model.predict(photo[None])  # a dict of arrays
print(answer["score"], answer["decision"])
```

Resizing, scaling, normalisation and both thresholds are inside. The folder holds the code that it needs
(`code/`) and no pickle."""


def model_card(card: Card, target: Target, check: Check) -> str:
    """The README of an export, as Markdown."""
    (height, width), grey = card.image_size, card.channels == 1
    thresholds = card.thresholds
    usage = (_ONNX if target == "onnx" else _MLFLOW).format(
        height=height,
        width=width,
        channels=card.channels,
        colours="grey" if grey else "colour in the order blue, green, red",
        flag="IMREAD_GRAYSCALE" if grey else "IMREAD_COLOR",
        shape="N × H × W" if grey else "N × H × W × 3",
        image=thresholds.image,
        pixel=thresholds.pixel,
    )
    metrics = "\n".join(f"| {name} | {value:.4g} |" for name, value in sorted(card.metrics.items()))
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

| metric | value |
|---|---|
{metrics}

## What was checked on export

{check}.

Trained with {versions or "unknown versions"}.
"""
