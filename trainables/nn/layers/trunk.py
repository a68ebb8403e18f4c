"""Trunks: networks that were trained on photographs of things, and what they make of a surface, by stride.

    trunk = Trunk("lite0", deepest=16).start_from(config).to(device)     # it names the weights file
    trunk.freeze()
    maps = trunk(images_BCHW)                                       # {4: B × 24 × …, 8: B × 40 × …, 16: …}

Images are those that a method gets: grey or BGR, in [0, 1]. A trunk standardises them as its weights ask for,
so a saved model needs nothing beside it. Channels by stride stand in ``choices.TRUNK_WIDTHS``, without torch.
Any other network is a file (``nn/trunk/file.py``): frozen from the start, and a saved model holds the file.

Trade-off: a grey image passes as three equal channels. Summing the first convolution's weights would save a
few percent of the work, but each channel has its own mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from trainables.nn.choices import TRUNK_WIDTHS, ResNetShape, TransformerName, TrunkName, TrunkStride
from trainables.nn.layers.dinov2 import DinoV2
from trainables.nn.layers.initialisation import initialise
from trainables.nn.layers.lite import Lite0
from trainables.nn.layers.resnet import ResNet18s, WideResNet50
from trainables.nn.settings import PublishedWeightsConfig
from trainables.nn.trunk.file import TrunkFile
from trainables.nn.trunk.network import OnnxNetwork
from trainables.nn.weights import load_weights

__all__ = ["Trunk"]


# Of the photographs that a trunk was trained with, per channel of BGR images in [0, 1].
_TORCHVISION = {"mean": (0.406, 0.456, 0.485), "std": (0.225, 0.224, 0.229)}
_TENSORFLOW = {"mean": (127 / 255, 127 / 255, 127 / 255), "std": (128 / 255, 128 / 255, 128 / 255)}


class Trunk(nn.Module):
    """A network up to its deepest map; in training mode, and with gradients, until :meth:`freeze`."""

    mean: Tensor
    std: Tensor

    def __init__(self, name: TrunkName | TransformerName | TrunkFile, deepest: TrunkStride = 32) -> None:
        """``deepest``: stride of the last map, pixels; later stages are left out, also of saved models. A
        file has the maps that it names.

        ``resnet18`` has 11.2 million weights, ``lite0`` 3.0, ``wide_resnet50_2`` 66.8 and ``dinov2_vits14``,
        whose one map has a cell for each patch of 14 pixels, 22.1.
        """
        super().__init__()
        self.name: TrunkName | TransformerName | TrunkFile = name
        self.frozen = isinstance(name, TrunkFile)
        self.widths: Mapping[int, int]
        if isinstance(name, TrunkFile):
            self.widths = name.widths
            self.network = OnnxNetwork(name)
            return
        self.widths = {stride: width for stride, width in TRUNK_WIDTHS[name].items() if stride <= deepest}
        photographs = _TENSORFLOW if name == "lite0" else _TORCHVISION
        for key, values in photographs.items():
            self.register_buffer(key, torch.tensor(values).reshape(1, 3, 1, 1))
        self.network = _network(name, deepest)

    def forward(self, images_BCHW: Tensor) -> dict[int, Tensor]:
        """Maps B × ``widths[stride]`` × ``cells_along`` H and W, of grey or BGR images in [0, 1]."""
        if isinstance(self.network, OnnxNetwork):
            return self.network(images_BCHW)
        images = images_BCHW.expand(-1, 3, -1, -1)
        standardised = (images - self.mean) / self.std
        if isinstance(self.network, ResNet18s):
            return dict(zip(self.widths, self.network.features(standardised)[1:], strict=True))
        return self.network(standardised)

    def start_from(self, weights: PublishedWeightsConfig) -> Self:
        """Take over the file that ``weights`` names; without one weights stay torch's random ones.

        Raises:
            InputError: If the file is missing, not the one meant or of another network.
        """
        if isinstance(self.name, TrunkFile):
            assert isinstance(self.network, OnnxNetwork), "made above"
            self.network.read(weights.image_size)
            return self
        with torch.device("meta"):
            whole = _network(self.name, 32)
        load_weights(self.network, weights, self.name, whole)
        return self

    @torch.no_grad()
    def randomise(self, seed: int, images_BCHW: Tensor) -> None:
        """Draw weights from ``seed``, and take all normalisations' statistics from ``images_BCHW``.

        Without these, random maps fade with depth and the finest one would decide alone.
        """
        initialise(self, seed)
        self.train()
        # One pass in training mode with a cumulative mean sets the statistics; the momenta are put back
        # afterwards.
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = None  # the mean over what is seen
        self(images_BCHW)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def freeze(self) -> Self:
        """Bar gradients and stay in evaluation mode, whatever a module that holds it is set to."""
        self.frozen = True
        return self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Set the mode, unless it is frozen."""
        return super().train(mode and not self.frozen)


def _network(name: TrunkName | TransformerName, deepest: TrunkStride) -> nn.Module:
    if name in {"dinov2_vits14", "dinov2_vits14_reg"}:
        return DinoV2(registers=name == "dinov2_vits14_reg")
    if name == "lite0":
        return Lite0(deepest)
    if name == "wide_resnet50_2":
        return WideResNet50(deepest)
    stages = list(TRUNK_WIDTHS[name]).index(deepest) + 1
    return ResNet18s(ResNetShape(stages=stages, output_stride=deepest))
