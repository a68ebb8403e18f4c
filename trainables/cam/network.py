"""The classifier: an input layer, a ``resnet18s`` or trunk, and a head whose pooled map is the logit.

Source: Zhou et al. 2016, arXiv:1512.04150 (class-activation map).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.cam.config import ClassifierConfig
from trainables.nn.cam.activation import CamHead
from trainables.nn.layers.inputs import LocalContrast, input_layer
from trainables.nn.layers.resnet import ResNet18s
from trainables.nn.layers.trunk import Trunk
from trainables.nn.models import forward_context

__all__ = ["Classifier", "ClassifierOutput"]


class ClassifierOutput(NamedTuple):
    """A classifier's output for a batch, all in one graph."""

    score_B: Tensor  # logit s of "defective", float32
    evidence_B1hw: Tensor  # map L at the last stage's cells, float32: s is its pooling
    features_BKhw: Tensor  # activations of the last stage, which the head reads, float32
    stages: Sequence[Tensor]  # activations of the stem (or input) and of each stage, fine to coarse


class Classifier(nn.Module):
    """Classifies images in [0, 1], in the config's arithmetic, whoever calls it."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone: ResNet18s | Trunk
        if config.trunk == "own":
            self.input = input_layer(config)
            self.backbone = ResNet18s(config.resnet)
        else:
            # A published trunk standardises by itself what lies in [0, 1].
            contrast = LocalContrast(config.contrast_sigma, unit=True)
            self.input = contrast if config.input == "local_contrast" else nn.Identity()
            self.backbone = Trunk(config.trunk, config.deepest)
            if not config.trunk_lr_ratio:
                self.backbone.freeze()
        self.head = CamHead(config.maps[-1][0], config.pool, top_share=config.top_share, lse_r=config.lse_r)

    def forward(self, images_BCHW: Tensor, maps: Sequence[Tensor] | None = None) -> ClassifierOutput:
        """Classify images of any size, B ≥ 0; ``maps``: those of the trunk, where they are there already."""
        with forward_context(self.config, images_BCHW.device):
            seen = self.input(images_BCHW)
            # The first map in ``stages`` is what the trunk saw, so stages count from 1 in both kinds of
            # network.
            if isinstance(self.backbone, Trunk):
                stages = [seen, *(self.backbone(seen).values() if maps is None else maps)]
            else:
                stages = self.backbone.features(seen)
            # Pooled in float32: a mean over thousands of cells loses bits in bfloat16.
            evidence_B1hw = self.head(stages[-1]).float()
        return ClassifierOutput(self.head.score(evidence_B1hw), evidence_B1hw, stages[-1].float(), stages)

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return self.head.weight.device
