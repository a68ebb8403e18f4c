"""How the staged toy trains, and what its model shows."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from assay_toy.staged import SHOWN, StagedConfig, stages
from assay_toy.training import ToyPredictor, pass_time
from trainables.contract import Run, StageMaps
from trainables.data.samples import TrainingData
from trainables.errors import Diverged
from trainables.evaluation.pseudo_labels import PseudoLabels
from trainables.stages import StageWork

__all__ = ["StagedPredictor", "fit", "load", "make_base", "make_maps"]


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


def make_base(work: StageWork) -> None:
    """Follow the mean grey of the training images, slowly or not to the end if it was told so."""
    run, config = work.run, work.config
    weight, first = torch.tensor([config["base"]]), 0
    state = run.resume()
    if state is not None:
        weight, first = state.tensors["weight"], state.epoch
    for epoch in range(first, config["epochs"]):
        order = run.generator("order", epoch).permutation(len(work.data.train))
        images = [work.data.train[index].image.mean() / 255 for index in order[:4].tolist()]
        weight = weight + 0.1 * (torch.tensor(images).float().mean() - weight)
        pass_time(config["seconds"], config["slow"])
        if config["fault"] == "diverge":
            raise Diverged(epoch, "the base is not a number")
        if config["fault"] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        run.log(epoch, {"weight": float(weight)}, config["epochs"])
        run.checkpoint(epoch + 1, {"weight": weight}, {})
    torch.rand(3)  # a library's random numbers, which shift nothing
    save_file({"weight": weight}, work.folder / "base.safetensors")


def make_maps(work: StageWork) -> None:
    """What a prediction needs, and pseudo labels of the defective training images."""
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
