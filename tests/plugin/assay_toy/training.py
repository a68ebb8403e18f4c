"""How the toy trains: its weight follows the images' mean through ``run.generator`` and ``run.shard``."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from assay_toy.method import ToyConfig
from trainables.contract import Prediction, Run
from trainables.data.samples import TrainingData
from trainables.errors import Diverged

__all__ = ["ToyPredictor", "fit", "landscape", "load", "pass_time"]


def landscape(config: ToyConfig) -> float:
    """What a search looks for: 1 at the best settings, less with the distance to them, never below 0."""
    distance = (config.x - 0.3) ** 2
    if config.shape == "round":
        distance += (config.y - 0.7) ** 2
    else:
        distance += 0.1
    return max(0.0, 1.0 - distance)


class ToyPredictor:
    """Scores an image by its darkest spot against the weight, and a share of noise."""

    def __init__(self, weight: Tensor, slope: float, noise: float = 0.0, holds: int = 0) -> None:
        self.weight, self.slope, self.noise, self.holds = weight, slope, noise, holds

    def predict(self, images: Tensor) -> Prediction:
        if self.holds and len(images) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory, as the toy was told to say")
        heatmap = torch.sigmoid(self.slope * (self.weight - images.mean(dim=1)))
        score = heatmap.amax(dim=(1, 2))
        chance = (images.sum(dim=(1, 2, 3)) * 997.0) % 1.0  # a fixed number of each image
        return Prediction((1 - self.noise) * score + self.noise * chance, heatmap)

    def save(self, folder: Path) -> None:
        save_file({"weight": self.weight}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({"slope": self.slope, "noise": self.noise}))

    def to(self, device: torch.device) -> Self:
        self.weight = self.weight.to(device)
        return self


def fit(config: ToyConfig, data: TrainingData, run: Run) -> ToyPredictor:
    """Follow the mean grey of the training images, one step per batch, in a seeded order."""
    weight = torch.nn.Parameter(torch.tensor([run.generator("init").normal()], dtype=torch.float32))
    state, first = run.resume(), 0
    if state is not None:
        first = state.epoch
        with torch.no_grad():
            weight.copy_(state.tensors["weight"])
    for epoch in range(first, config.epochs):
        order = run.generator("order", epoch).permutation(len(data.train)).tolist()
        for start in range(0, len(order) - config.batch_size + 1, config.batch_size):
            weight.grad = None
            for index in run.shard(order[start : start + config.batch_size]):
                mean = torch.from_numpy(data.train[index].image.copy()).float().mean() / 255
                (0.5 * (weight - mean) ** 2 / config.batch_size).sum().backward()
            run.reduce([weight])
            with torch.no_grad():
                weight -= config.lr * weight.grad
        pass_time(config.seconds, config.slow)
        if config.fault != "gpu_memory_once" or (epoch == 1 and state is None):
            _misbehave(config, epoch)
        metrics = {"weight": float(weight.detach())}
        if data.validation is not None:
            metrics["validation.image_ap"] = landscape(config)
        run.log(epoch, metrics, config.epochs)
        run.checkpoint(epoch + 1, {"weight": weight}, {})
    return ToyPredictor(weight.detach().clone(), config.slope, 1.0 - landscape(config), config.holds)


def pass_time(seconds: float, slow: str) -> None:
    """Wait; with a file ``slow`` only as long as it is there."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and (not slow or os.path.exists(slow)):
        time.sleep(min(left, 0.05) if slow else left)


def _misbehave(config: ToyConfig, epoch: int) -> None:
    if config.fault == "diverge":
        raise Diverged(epoch, "the loss is not a number")
    if config.fault == "raise":
        raise RuntimeError("the toy broke, as it was told to")
    if config.fault.startswith("gpu_memory"):
        raise torch.OutOfMemoryError("CUDA out of memory, as the toy was told to say")
    if config.fault == "die":
        os.kill(os.getpid(), signal.SIGKILL)


def load(folder: Path) -> ToyPredictor:
    """Read what ``ToyPredictor.save`` wrote."""
    settings = json.loads((folder / "config.json").read_text())
    return ToyPredictor(load_file(folder / "model.safetensors")["weight"], **settings)
