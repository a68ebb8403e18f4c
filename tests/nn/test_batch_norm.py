"""A batch of one image whose map is 1 × 1 has no statistics: refused in our words, by every network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from trainables.contract import LocalRun
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.spec import Supervision
from trainables.errors import InputError
from trainables.nn.choices import ResNetShape
from trainables.nn.layers.resnet import ResNet18s
from trainables.nn.layers.trunk import Trunk
from trainables.nn.layers.unet import PlainEncoder, UNet
from trainables.supervised import TRAINABLE, SupervisedConfig


def plain_unet() -> UNet:
    encoder = PlainEncoder(1, 4, 3, "bn")
    return UNet(encoder, encoder.widths, "bn")


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet18s": (lambda: ResNet18s(ResNetShape(channels=1, width=4, output_stride=16, norm="bn")), 16),
    "resnet18": (lambda: Trunk("resnet18"), 32),
    "lite0": (lambda: Trunk("lite0"), 32),
    "wide_resnet50_2": (lambda: Trunk("wide_resnet50_2"), 32),
    "unet": (plain_unet, 8),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_one_image_that_becomes_one_cell_is_refused_in_training_alone(name: str) -> None:
    make, side = NETWORKS[name]
    network = make().train()
    with pytest.raises(InputError, match=r"found one: a batch of 1 image.*norm: gn"):
        network(torch.rand(1, 1, side, side))
    network(torch.rand(2, 1, side, side))
    network(torch.rand(1, 1, side, 2 * side))
    network.eval()(torch.rand(1, 1, side, side))


@pytest.mark.parametrize(("count", "refused"), [(4, False), (5, True)])
def test_a_training_whose_epoch_ends_with_one_image_of_one_cell_says_what_to_change(
    count: int, refused: bool
) -> None:
    config = SupervisedConfig.model_validate(
        {
            "model": "unet", "encoder": "plain", "image_size": (8, 8), "base": 4, "levels": 3, "norm": "bn",
            "epochs": 1, "batch_size": 4,
        }
    )  # fmt: skip
    names = tuple(map(str, range(count)))
    rng = np.random.default_rng(0)
    masks = {name: np.eye(8, dtype=np.uint8) for name in names}
    images = {name: rng.integers(0, 256, (8, 8, 1), np.uint8) for name in names}
    data = TrainingData(
        ImageSet(names, np.ones(count, np.bool_), images, masks), None, Supervision.model_validate("full")
    )
    if not refused:
        TRAINABLE.fit(config, data, LocalRun())
        return
    with pytest.raises(InputError, match="found one: a batch of 1 image"):
        TRAINABLE.fit(config, data, LocalRun())
