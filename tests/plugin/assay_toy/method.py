"""A trainable of a third party, found by entry point: one weight, a chosen pace, and ways to misbehave.

It really trains (the weight follows the images' mean through ``run.generator`` and ``run.shard``), so its
weights tell whether a resumed trial went the same way; but an epoch costs what ``seconds`` says, and nothing
any more once the file ``slow`` is gone: a test that has seen what it waited for need not wait for the rest.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.contract import Prediction, Run, Trainable, TrainableConfig
from trainables.data.samples import TrainingData
from trainables.errors import Diverged

__all__ = ["TRAINABLE", "ToyConfig"]


class ToyConfig(TrainableConfig, frozen=True, extra="forbid"):
    """Settings of the toy."""

    later: ClassVar[frozenset[str]] = frozenset({"holds", "slow"})

    image_size: tuple[int, int] = Field((32, 32), description="Input height and width, pixels.")
    epochs: int = Field(3, ge=1, description="Passes over the training set.")
    seconds: float = Field(0.0, ge=0, description="Length of an epoch, seconds.")
    lr: float = Field(0.1, gt=0, description="Learning rate.")
    slope: float = Field(8.0, description="Steepness of the score.")
    batch_size: int = Field(4, ge=1, description="Images per step.")
    shape: Literal["round", "flat"] = Field("round", description="Whether y counts, or x alone.")
    x: float = Field(0.3, ge=0, le=1, description="Best at 0.3: the further away, the more noise.")
    y: float = Field(0.7, ge=0, le=1, description="Best at 0.7, for shape: round.")
    fault: Literal["none", "diverge", "raise", "die", "gpu_memory", "gpu_memory_once"] = Field(
        "none", description="What goes wrong; once: unless it is resumed."
    )
    holds: int = Field(0, ge=0, description="Images that memory holds in a prediction; 0: any number.")
    slow: str = Field("", description="A file: once it is removed, epochs take no time.")


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
        _pass_time(config)
        if config.fault != "gpu_memory_once" or (epoch == 1 and state is None):
            _misbehave(config, epoch)
        metrics = {"weight": float(weight.detach())}
        if data.validation is not None:
            metrics["validation.image_ap"] = landscape(config)
        run.log(epoch, metrics, config.epochs)
        run.checkpoint(epoch + 1, {"weight": weight}, {})
    return ToyPredictor(weight.detach().clone(), config.slope, 1.0 - landscape(config), config.holds)


def _pass_time(config: ToyConfig) -> None:
    until = time.monotonic() + config.seconds
    while (left := until - time.monotonic()) > 0 and (not config.slow or os.path.exists(config.slow)):
        time.sleep(min(left, 0.05) if config.slow else left)


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


TRAINABLE = Trainable(
    name="toy",
    revision=1,
    title="A toy of the tests",
    Config=ToyConfig,
    presets={},
    supervisions=frozenset({"none", "weak", "mixed", "full"}),
    fit=fit,
    load=load,
)
