"""The export format `files`: a program's own files and what it kept, as its own `predict` takes them.

For methods without Python (:mod:`trainables.program`), whose models no graph of ONNX holds.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from assay.production.check import Decide
from assay.production.export_format import ExportFormat
from trainables.errors import InputError
from trainables.program.training import ProgramPredictor
from trainables.runtime.deployed import Card, DeployedModel, load_deployed

__all__ = ["EXPORT"]

_MODEL = "model"
_USAGE = """\
`program/` holds the program's files, `kept/` what it kept of its training. `command.txt` has its command:
`{{out}}` is `kept/`, `{{images}}` a folder of PNG images of {height} × {width} pixels (as they are stored,
where `model/config.json` says `"images": "stored"`), `{{answers}}` an empty one, into which it writes
`scores.csv` and `maps/`. An image is defective from a score of {image!r} on, a
pixel from {pixel!r}.

`model/` is the same for assay: `load_deployed("model")` of `trainables.runtime.deployed`."""


def _write(source: Path, model: DeployedModel, folder: Path) -> None:
    predictor = model.predictor
    if not isinstance(predictor, ProgramPredictor):
        raise InputError(
            f"`files` are those of a method that is a training program, found "
            f"{model.card.trainable}. Use --to onnx"
        )
    # The folder serves two readers: assay loads the model, and anybody else finds program, kept files and
    # command.
    shutil.copytree(source, folder / _MODEL)
    _write_files(folder / "program", predictor.program.files)
    _write_files(folder / "kept", predictor.kept)
    (folder / "command.txt").write_text(predictor.program.spec.predict + "\n", encoding="utf-8")


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _load(folder: Path) -> Decide:
    model = load_deployed(folder / _MODEL)
    return lambda photos: model.decide([model.prepare(photo) for photo in photos])


def _usage(card: Card) -> str:
    height, width = card.image_size
    thresholds = card.thresholds
    return _USAGE.format(height=height, width=width, image=thresholds.image, pixel=thresholds.pixel)


EXPORT = ExportFormat(name="files", write=_write, load=_load, usage=_usage)
