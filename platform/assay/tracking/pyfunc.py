"""A trained model as an MLflow model, without a pickle: the loader is a module, the data are safetensors.

The model carries the package ``trainables``, so that it loads where assay is not installed. Its methods from
other distributions are named in the requirements instead.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

import trainables
from assay.production.check import Decide
from assay.production.export_format import ExportFormat, format_usage
from trainables.plugins.catalogue import plugin_requirement
from trainables.plugins.method_imports import UNKNOWN_VERSION
from trainables.runtime.deployed import Decision, DeployedModel

__all__ = ["PYFUNC"]

_LOADER = "trainables.runtime.deployed"
_USAGE = """\
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
photo = {read}
answer = model.predict(photo[None])  # a dict of arrays
print(answer["score"], answer["decision"])
```

Resizing, scaling, normalisation and both thresholds are inside. The folder holds the code that it needs
(`code/`) and no pickle."""
_PACKAGES = (
    "torch",
    "numpy",
    "opencv-contrib-python-headless",
    "pydantic",
    "safetensors",
    "onnxruntime",
    "pyarrow",
    "scikit-learn",
    "scipy",
)


def _write(source: Path, model: DeployedModel, folder: Path) -> None:
    """Write the model that lies in ``source`` (with its card) into an empty folder."""
    pyfunc = _pyfunc()
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    def tensor(kind: type, shape: tuple[int, ...], name: str | None = None) -> TensorSpec:
        return TensorSpec(np.dtype(kind), shape, name)

    card = model.card
    grey, (height, width) = card.channels == 1, (-1, -1) if card.tiles else card.image_size

    # Photos of any size go in. The heatmap has the network's size, or any size where the model reads tiles.
    inputs: list[ColSpec | TensorSpec] = [tensor(np.uint8, (-1, -1, -1) if grey else (-1, -1, -1, 3))]
    outputs: list[ColSpec | TensorSpec] = [
        tensor(np.float64, (-1,), "score"),
        tensor(np.bool_, (-1,), "decision"),
        tensor(np.float32, (-1, height, width), "heatmap"),
        tensor(np.uint8, (-1, -1, -1), "mask"),
    ]
    signature = ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))
    example = np.full((1, 16, 16) if grey else (1, 16, 16, 3), 128, np.uint8)
    requirements = [f"{name}=={version(name).partition('+')[0]}" for name in _PACKAGES]
    # What the method's own files import beside these; a module of no distribution cannot be asked for.
    requirements += [
        f"{name}=={text.partition('+')[0]}"
        for name, text in card.imports.items()
        if name not in _PACKAGES and text != UNKNOWN_VERSION
    ]
    plugin = plugin_requirement(card.trainable)

    # The code that reads the model travels with it, so that it is loaded where assay is not installed.
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        code = Path(scratch) / "trainables"
        shutil.copytree(
            Path(trainables.__file__ or "").parent, code, ignore=shutil.ignore_patterns("__pycache__")
        )
        pyfunc.save_model(
            path=folder,
            loader_module=_LOADER,
            data_path=str(source),
            code_paths=[str(code)],
            signature=signature,
            input_example=example,
            pip_requirements=[*requirements, *([plugin] if plugin else [])],
            metadata={"assay": card.model_dump(mode="json")},
        )


def _load(folder: Path) -> Decide:
    """Read what :func:`_write` wrote, through MLflow."""
    model = _pyfunc().load_model(str(folder))

    def decide(photos: Sequence[NDArray[np.uint8]]) -> Decision:
        batch = np.stack(photos)
        outputs = model.predict(batch[..., 0] if batch.shape[3] == 1 else batch)
        return Decision(*(outputs[name] for name in Decision._fields))

    return decide


def _pyfunc() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of type hints of its own
        import mlflow.pyfunc
    return mlflow.pyfunc


PYFUNC = ExportFormat(name="mlflow", write=_write, load=_load, usage=lambda card: format_usage(_USAGE, card))
