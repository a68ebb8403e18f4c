"""The numbers of weights that a plan reckons with are those of the networks themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from trainables.cam.network import Classifier
from trainables.contract import TrainableConfig
from trainables.focus.predictor import Nets as FocusNets
from trainables.memory_bank.bank import Bank
from trainables.memory_bank.predictor import Detector as MemoryDetector
from trainables.plugins.catalogue import TRAINABLES
from trainables.regioncam.predictor import Nets as RegionCamNets
from trainables.segdec.network import SegDecNet
from trainables.supersimple.network import SuperSimpleNet
from trainables.supervised.network import build
from trainables.unsupervised.predictor import Detector

BUILD: dict[str, Callable[[Any], nn.Module]] = {
    "segdec": SegDecNet,
    "supervised": build,
    "cam": Classifier,
    "focus": FocusNets.of,
    "regioncam": RegionCamNets.of,
    "unsupervised": Detector.of,
    "memory_bank": lambda config: MemoryDetector(Bank(config, config.remembered(config.most_cells)), config),
    "supersimple": SuperSimpleNet,
}
SIZE = {"image_size": (96, 128)}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("segdec", {"image_size": (128, 128), "channels": 3, "channel_scale": 0.3, "first_convs": 2}),
    ("segdec", {"image_size": (128, 128), "sf_kernel": 5}),
    ("supervised", {"model": "classifier", "stem": "tv", "stages": 4, "blocks": 2, "output_stride": 4}),
    ("supervised", {"model": "classifier", "stem": "small", "stages": 1, "output_stride": 1}),
    ("supervised", {"model": "unet", "width": 8, "norm": "gn", "channels": 3}),
    ("supervised", {"model": "unet", "encoder": "plain", "base": 8, "levels": 3}),
    ("cam", {"width": 32, "stem": "mid", "stages": 4, "blocks": 2}),
    ("cam", {"trunk": "lite0", "output_stride": 16}),
    ("focus", {"distill": True, "segment_levels": 2}),
    ("focus", {"distill": False, "segment_base": 8, "channels": 3}),
    ("regioncam", {"rounds": 0}),
    ("regioncam", {"rounds": 2, "segment_levels": 3}),
    ("unsupervised", {"model": "f_anogan", "patch_size": 32, "gan_width": 8, "gan_norm": "gn"}),
    ("unsupervised", {"model": "f_anogan", "patch_size": 64, "gan_latent": 20, "channels": 3}),
    ("unsupervised", {"model": "students", "scales": (17, 33), "students": 2, "descriptor_width": 6}),
    ("unsupervised", {"model": "students", "scales": (65,), "descriptor": 12}),
    ("memory_bank", {"layers": (8, 16)}),
    ("memory_bank", {"trunk": "resnet18", "layers": (4, 32), "most_cells": 10}),
    ("memory_bank", {"trunk": "wide_resnet50_2", "layers": (8,), "channels": 3}),
    ("memory_bank", {"trunk": "dinov2_vits14_reg", "layers": (14,), "most_cells": 10}),
    ("supersimple", {"decision": False, "adaptor": False, "head_norm": "gn"}),
    ("supersimple", {"stages": 2, "output_stride": 4, "channels": 3, "decision_width": 7}),
    ("supersimple", {"trunk": "lite0", "map_width": 50}),
    ("supersimple", {"trunk": "lite0", "trunk_lr_ratio": 0.1}),
]


def built(name: str, config: TrainableConfig) -> int:
    """Weights of the network that is built; nothing is allocated."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in BUILD[name](config).parameters())


@pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=str)
def test_a_plan_counts_the_weights_that_a_network_has(name: str, settings: dict[str, Any]) -> None:
    trainable = TRAINABLES[name]
    config = trainable.Config.model_validate({**SIZE, **settings})
    assert trainable.parameters is not None
    assert trainable.parameters(config) == built(name, config)


@pytest.mark.parametrize("name", BUILD)
def test_presets_are_counted_right(name: str) -> None:
    trainable = TRAINABLES[name]
    assert trainable.parameters is not None
    for preset in trainable.presets.values():
        config = trainable.Config.model_validate({**SIZE, "image_size": (128, 128), **preset})
        assert trainable.parameters(config) == built(name, config)
