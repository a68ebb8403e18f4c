"""The two baselines as networks: an input layer, a body, and a logit for the image beside a map.

Source: Zhou et al. 2016, arXiv:1512.04150 (class-activation map); Ronneberger et al. 2015, arXiv:1505.04597
(U-Net); the image heads are ours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.nn.cam.activation import CamHead
from trainables.nn.layers.inputs import input_layer
from trainables.nn.layers.resnet import ResNet18s
from trainables.nn.layers.unet import ImageHead, PlainEncoder, UNet
from trainables.supervised.config import SupervisedConfig

__all__ = [
    "PlainClassifier",
    "SegmentingUNet",
    "SupervisedNet",
    "SupervisedOutput",
    "build",
]


class SupervisedOutput(NamedTuple):
    """Logits of a batch in float32."""

    cls_logits_B: Tensor
    map_logits_B1hw: Tensor  # classifier: at the last stage's cells; U-Net: at full size


class PlainClassifier(nn.Module):
    """``resnet18s``, and a head whose map of evidence, pooled, is the image's logit."""

    def __init__(self, config: SupervisedConfig) -> None:
        super().__init__()
        self.config = config
        self.input = input_layer(config)
        self.backbone = ResNet18s(config.resnet)
        self.head = CamHead(
            config.resnet.widths[-1], config.pool, top_share=config.top_share, lse_r=config.lse_r
        )
        # The largest activations of training positives lie about here: heatmaps are divided by it.
        self.map_scale: Tensor
        self.register_buffer("map_scale", torch.ones(()))

    def forward(self, images_BCHW: Tensor) -> SupervisedOutput:
        """Logits of images in [0, 1]."""
        map_B1hw = self.head(self.backbone(self.input(images_BCHW))).float()
        return SupervisedOutput(self.head.score(map_B1hw), map_B1hw)


class SegmentingUNet(nn.Module):
    """A U-Net whose image head reads its deepest features and the most suspicious pixels of its map."""

    def __init__(self, config: SupervisedConfig) -> None:
        super().__init__()
        self.config = config
        self.input = input_layer(config)
        # Widths of the skip connections: each resolution that the decoder joins again.
        if config.encoder == "resnet18s":
            encoder, shape = ResNet18s(config.resnet), config.resnet
            widths = (shape.width, *shape.widths)  # the stem, then the stages
        else:
            encoder = PlainEncoder(config.channels, config.base, config.levels, config.norm)
            widths = encoder.widths
        self.unet = UNet(encoder, widths, config.norm)
        self.image_head = ImageHead(widths[-1], config.top_share)

    def start_at(self, logit: float) -> None:
        """Begin with the same logit for all pixels, and even odds for every image."""
        self.unet.start_at(logit)
        self.image_head.start_at(logit)

    def forward(self, images_BCHW: Tensor) -> SupervisedOutput:
        """Logits of images in [0, 1]."""
        output = self.unet(self.input(images_BCHW))
        map_B1HW = output.map_BOHW.float()
        return SupervisedOutput(self.image_head(map_B1HW, output.coarse_BKhw), map_B1HW)


SupervisedNet = PlainClassifier | SegmentingUNet


def build(config: SupervisedConfig) -> SupervisedNet:
    """The network that ``config`` describes, with arbitrary weights."""
    return PlainClassifier(config) if config.model == "classifier" else SegmentingUNet(config)


def resnet_of(network: SupervisedNet) -> ResNet18s:
    """The network's ``resnet18s``; it must have one."""
    resnet = network.backbone if isinstance(network, PlainClassifier) else network.unet.encoder
    assert isinstance(resnet, ResNet18s), "the config admits weights for a resnet18s only"
    return resnet
