"""The classifier: an input layer, a ``resnet18s``, and a head whose map of evidence, pooled, is the logit.

Source: Zhou et al. 2016, arXiv:1512.04150 (class-activation map).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.cam.config import ClassifierConfig
from trainables.nn.cam.activation import CamHead
from trainables.nn.layers.inputs import input_layer
from trainables.nn.layers.resnet import ResNet18s
from trainables.nn.models import forward_context

__all__ = ["Classifier", "ClassifierOutput"]


class ClassifierOutput(NamedTuple):
    """A classifier's output for a batch, all in one graph."""

    score_B: Tensor  # logit s of "defective", float32
    evidence_B1hw: Tensor  # map L at the last stage's cells, float32: s is its pooling
    features_BKhw: Tensor  # activations of the last stage, which the head reads, float32
    stages: Sequence[Tensor]  # activations of the stem and of each stage, fine to coarse, as computed


class Classifier(nn.Module):
    """Classifies images in [0, 1], in the config's arithmetic, whoever calls it."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.input = input_layer(config)
        self.backbone = ResNet18s(config.resnet)
        self.head = CamHead(
            config.resnet.widths[-1], config.pool, top_share=config.top_share, lse_r=config.lse_r
        )

    def forward(self, images_BCHW: Tensor) -> ClassifierOutput:
        """Classify images of any size, B ≥ 0."""
        with forward_context(self.config, images_BCHW.device):
            stages = self.backbone.features(self.input(images_BCHW))
            evidence_B1hw = self.head(stages[-1]).float()
        return ClassifierOutput(self.head.score(evidence_B1hw), evidence_B1hw, stages[-1].float(), stages)

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return self.head.weight.device
