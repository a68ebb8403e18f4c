"""A method of the tests: a filter of 5 × 5 pixels, learned from masks, as a repository would keep it."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.contract import Prediction, Run, Trainable, TrainableConfig
from trainables.data.samples import TrainingData

LOSS_WEIGHT = 1.0
STREAM = "init"  # of random numbers: another name draws others, which are as good


class Config(TrainableConfig, frozen=True, extra="forbid"):
    """Settings of the filter."""

    image_size: tuple[int, int] = Field((32, 32), description="Input height and width, pixels.")
    steps: int = Field(60, ge=1, description="Steps of the gradient.")


class Predictor:
    """Scores a pixel by the filter, an image by its largest pixel."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def logits(self, images: Tensor) -> Tensor:
        grey = images.mean(dim=1, keepdim=True)
        return F.conv2d(grey - grey.mean(dim=(2, 3), keepdim=True), self.weight, padding=2)[:, 0]

    def predict(self, images: Tensor) -> Prediction:
        heatmap = torch.sigmoid(self.logits(images))
        return Prediction(heatmap.amax(dim=(1, 2)), heatmap)

    def save(self, folder: Path) -> None:
        save_file({"weight": self.weight}, folder / "model.safetensors")

    def to(self, device: torch.device) -> Self:
        self.weight = self.weight.to(device)
        return self


def sample(labels: NDArray[np.bool_], rng: np.random.Generator) -> list[int]:
    """A batch, half of it defective."""
    return [int(rng.choice(np.flatnonzero(labels == label))) for label in (False, True) for _ in range(4)]


def fit(config: Config, data: TrainingData, run: Run) -> Predictor:
    """Follow the sign of the gradient."""
    rng = run.generator(STREAM)
    weight = torch.from_numpy(rng.normal(0, 0.5, (1, 1, 5, 5)).astype(np.float32)).requires_grad_()
    predictor, train = Predictor(weight), data.train
    none = np.zeros(config.image_size, np.uint8)
    for step in range(config.steps):
        batch = sample(train.labels, rng)
        images = torch.from_numpy(np.stack([train[i].image for i in batch])).movedim(3, 1) / 255
        masks = torch.from_numpy(np.stack([train.masks.get(train.ids[i], none) for i in batch])).float()
        loss = F.binary_cross_entropy_with_logits(predictor.logits(images) - 3, masks)
        (gradient,) = torch.autograd.grad(LOSS_WEIGHT * loss, weight)
        with torch.no_grad():
            weight -= 0.2 * (1 - step / config.steps) * gradient.sign()
    return Predictor(weight.detach())


def load(folder: Path) -> Predictor:
    return Predictor(load_file(folder / "model.safetensors")["weight"])


TRAINABLE = Trainable(
    name="spots",
    revision=1,
    title="Spots",
    Config=Config,
    presets={},
    supervisions=frozenset({"full"}),
    fit=fit,
    load=load,
)
