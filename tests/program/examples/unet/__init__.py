"""The same network as a method in Python: its losses and settings, without the loop and the predictor."""

from typing import Literal

from pydantic import Field
from torch.nn.functional import binary_cross_entropy_with_logits

from trainables.methods import ModuleConfig, module

from .model import UNet


class UNetConfig(ModuleConfig, frozen=True, extra="forbid"):
    loss: Literal["bce", "dice"] = Field("bce", description="Loss of the mask.")


def loss(logits, masks, config):
    if config.loss == "bce":
        return binary_cross_entropy_with_logits(logits, masks)
    p = logits.sigmoid()
    return 1 - (2 * (p * masks).sum() + 1) / (p.sum() + masks.sum() + 1)


def flip(image, mask, rng):
    return (image.flip(2), mask.flip(2)) if rng.random() < 0.5 else (image, mask)


TRAINABLE = module(
    lambda config: UNet(),
    loss,
    name="my_unet",
    Config=UNetConfig,
    augment=flip,
    presets={"one_cycle": {"epochs": 8, "lr": 0.01, "schedule": "onecycle"}},
)
