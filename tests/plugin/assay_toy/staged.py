"""A toy in three stages: a base that trials share, maps that read it, and a last step of each trial's own.

Its maps also leave pseudo labels of the defective training images, and its model shows the steps on its way.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from assay_toy.training import ToyPredictor
from trainables.contract import Run, StageMaps, Trainable, TrainableConfig
from trainables.data.samples import TrainingData
from trainables.errors import Diverged
from trainables.pseudo_labels import PseudoLabels
from trainables.stages import Stage, StageWork

__all__ = ["TRAINABLE", "StagedConfig"]

SHOWN = ("cam", "crop")  # of the maps, by every trial that uses them


class StagedConfig(TrainableConfig, frozen=True, extra="forbid"):
    """Settings of the staged toy."""

    image_size: tuple[int, int] = Field((32, 32), description="Input height and width, pixels.")
    epochs: int = Field(3, ge=1, description="Epochs of the base.")
    seconds: float = Field(0.0, ge=0, description="Length of an epoch of the base, seconds.")
    base: float = Field(0.5, description="Where the base starts.")
    sharpen: bool = Field(False, description="Whether maps are sharpened.")
    last: float = Field(0.0, description="What the last step adds.")
    fault: Literal["none", "diverge", "die"] = Field("none", description="What goes wrong in the base.")


class StagedPredictor(ToyPredictor):
    """The map of the stages, the middle of the image, the map itself, and what is decided in it."""

    shared: Tensor | None = None  # the weight that the stages left, which other trials have, too

    def predict_stages(self, images: Tensor, known: Collection[str] = ()) -> StageMaps:
        prediction = self.predict(images)
        heatmap = prediction.heatmap
        height, width = images.shape[2:]
        weight = self.weight if self.shared is None else self.shared
        told = {"final_cam": heatmap, "pseudo": (heatmap >= 0.5).float()}
        if set(SHOWN) <= set(known):
            return StageMaps(prediction, told)
        cam = torch.sigmoid(self.slope / 2 * (weight - images.mean(dim=1)))
        crop = images[:, :, height // 4 : -height // 4, width // 4 : -width // 4]
        return StageMaps(prediction, {"cam": cam, "crop": crop} | told)


def stages(config: StagedConfig) -> Sequence[Stage]:
    """Base, then maps."""
    base = config.model_dump(mode="json", include={"epochs", "seconds", "base", "fault"})
    return [
        Stage("base", base, _make_base),
        Stage("maps", {"sharpen": config.sharpen}, _make_maps, after=("base",), shows=SHOWN),
    ]


def _make_base(work: StageWork) -> None:
    run, config = work.run, work.config
    weight, first = torch.tensor([config["base"]]), 0
    state = run.resume()
    if state is not None:
        weight, first = state.tensors["weight"], state.epoch
    for epoch in range(first, config["epochs"]):
        order = run.generator("order", epoch).permutation(len(work.data.train))
        images = [work.data.train[index].image.mean() / 255 for index in order[:4].tolist()]
        weight = weight + 0.1 * (torch.tensor(images).float().mean() - weight)
        time.sleep(config["seconds"])
        if config["fault"] == "diverge":
            raise Diverged(epoch, "the base is not a number")
        if config["fault"] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        run.log(epoch, {"weight": float(weight)}, config["epochs"])
        run.checkpoint(epoch + 1, {"weight": weight}, {})
    torch.rand(3)  # a library's random numbers, which shift nothing
    save_file({"weight": weight}, work.folder / "base.safetensors")


def _make_maps(work: StageWork) -> None:
    weight = load_file(work.inputs["base"] / "base.safetensors")["weight"]
    scale = 2.0 if work.config["sharpen"] else 1.0
    (work.folder / "maps.json").write_text(json.dumps({"slope": 8.0 * scale, "weight": float(weight)}))
    defective = [sample for sample in work.data.train if sample.label]
    dark = [sample.image.mean(axis=2) / 255 < float(weight) for sample in defective]
    ids = tuple(sample.id for sample in defective)
    PseudoLabels("pseudo", ids, np.stack(dark).astype(np.uint8)).save(work.folder)


def fit(config: StagedConfig, data: TrainingData, run: Run) -> StagedPredictor:
    """Ask for the stages, then add a little."""
    folders = {stage.name: run.stage(stage, data) for stage in stages(config)}
    maps = json.loads((folders["maps"] / "maps.json").read_text())
    noise = float(torch.rand(1)) * 1e-3  # shows whether a stage has shifted a later random number
    run.log(0, {"noise": noise}, 1)
    predictor = StagedPredictor(torch.tensor([maps["weight"] + config.last + noise]), maps["slope"])
    predictor.shared = torch.tensor([maps["weight"]])
    return predictor


def load(folder: Path) -> StagedPredictor:
    """Read what the predictor's ``save`` wrote."""
    settings = json.loads((folder / "config.json").read_text())
    return StagedPredictor(load_file(folder / "model.safetensors")["weight"], **settings)


TRAINABLE = Trainable(
    name="staged",
    revision=1,
    title="A toy in stages",
    Config=StagedConfig,
    presets={},
    supervisions=frozenset({"weak"}),
    fit=fit,
    load=load,
    stages=stages,
)
