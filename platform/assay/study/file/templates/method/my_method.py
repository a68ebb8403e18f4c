"""My method: a small U-Net that learns from masks.

A sentence on the idea, the paper with its arXiv number, and the trade-off taken belong here.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from trainables.methods import ModuleConfig, module


class MyMethodConfig(ModuleConfig, frozen=True, extra="forbid"):
    """Settings that a study may write below ``config``, beside those of every module (epochs, lr, …)."""

    loss: Literal["bce", "dice"] = Field("bce", description="Loss of the mask.")
    width: int = Field(8, ge=1, le=512, description="Channels at full size.")


class UNet(nn.Module):
    """B × C × H × W images in [0, 1] to B × 1 × H × W logits."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.fine, self.coarse = block(channels, width), block(width, 2 * width)
        self.joined, self.head = block(3 * width, width), nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        fine = self.fine(images)
        coarse = F.interpolate(self.coarse(F.max_pool2d(fine, 4)), fine.shape[2:])
        return self.head(self.joined(torch.cat([fine, coarse], dim=1)))


def block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())


def loss(logits: Tensor, masks: Tensor, config: MyMethodConfig) -> Tensor:
    """Mean over the batch; it sees images with a known mask only, normal ones among them."""
    if config.loss == "bce":
        return F.binary_cross_entropy_with_logits(logits, masks)
    p = logits.sigmoid()
    return 1 - (2 * (p * masks).sum() + 1) / (p.sum() + masks.sum() + 1)


def augment(image: Tensor, mask: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mirror half of the images."""
    return (image.flip(2), mask.flip(2)) if rng.random() < 0.5 else (image, mask)


TRAINABLE = module(
    lambda config: UNet(config.channels, config.width),
    loss,
    name="my_method",
    Config=MyMethodConfig,
    augment=augment,
    title="My method",
    revision=1,  # raise it when results change: it is part of every trial's id
    presets={"small": {"image_size": [64, 64], "epochs": 10, "lr": 0.01, "schedule": "onecycle"}},
)
