"""SegDecNet's layers: a trunk, a mask head at an eighth of the resolution, and a decision from both.

The parameter names are those of the authors' checkpoints, so a published state dict loads as it is.
With ``channel_scale`` s, the trunk has 32 s, 64 s and 1024 s channels; the small decision head (8, 16, 32
channels, 1 % of the work) keeps its size, because a quarter of it would be two channels.

Trade-off: the additions of the paper are arguments of ``forward``, not state, so one network serves
training and prediction and no switch can be forgotten.

Source: Božič et al. 2021, arXiv:2104.06064, section 3.1 and Table 1, and the behaviour of the released code.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from trainables.nn.layers.initialisation import named_generator
from trainables.nn.layers.pooling import Halve
from trainables.nn.layers.same_conv import SameConv
from trainables.nn.models import with_layout
from trainables.segdec.config import SegDecConfig
from trainables.segdec.feature_norm import Divisor, FeatureNorm

__all__ = ["SegDecNet", "SegDecOutput", "initialise", "new_network"]


class _Volume(nn.Sequential):
    """Blocks, some with a pooling behind them, which is part of their normalisation."""

    def forward(self, input: Tensor) -> Tensor:
        layers, x_BCHW = list(self), input
        for layer, behind in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, Halve):
                continue  # done with the block before it
            if isinstance(behind, Halve):
                convolution, norm = cast("nn.Sequential", layer)
                x_BCHW = cast("FeatureNorm", norm).halved(convolution(x_BCHW))
            else:
                x_BCHW = layer(x_BCHW)
        return x_BCHW


def _block(inputs: int, outputs: int, kernel: int, divisor: Divisor) -> nn.Sequential:
    """Convolution without bias, FeatureNorm with ReLU; the size stays."""
    return nn.Sequential(SameConv(inputs, outputs, kernel), FeatureNorm(outputs, divisor, relu=True))


class SegDecOutput(NamedTuple):
    """Logits of a batch. B images, h × w cells of 8 × 8 pixels."""

    cls_logits_B: Tensor
    seg_logits_B1hw: Tensor


class SegDecNet(nn.Module):
    """The segmentation–decision network."""

    def __init__(self, config: SegDecConfig) -> None:
        super().__init__()
        first, trunk, features = config.widths
        divisor = config.feature_norm
        # The trunk halves the resolution three times, so masks are learned on a grid of 8 pixels. Its last
        # block sees far around (15 × 15 cells as released) and makes the features that everything else
        # reads.
        volume: OrderedDict[str, nn.Module] = OrderedDict()
        volume["0"] = _block(config.channels, first, 5, divisor)
        if config.first_convs == 2:
            volume["0b"] = _block(first, first, 5, divisor)  # named so that all other keys stay the authors'
        volume["1"] = Halve()
        volume["2"] = _block(first, trunk, 5, divisor)
        volume["3"] = _block(trunk, trunk, 5, divisor)
        volume["4"] = _block(trunk, trunk, 5, divisor)
        volume["5"] = Halve()
        for index in range(6, 10):
            volume[str(index)] = _block(trunk, trunk, 5, divisor)
        volume["10"] = Halve()
        volume["11"] = _block(trunk, features, config.sf_kernel, divisor)
        self.volume = _Volume(volume)

        # One map of logits, normalised like a feature but without ReLU, since a logit may be negative.
        self.seg_mask = nn.Sequential(
            nn.Conv2d(features, 1, 1, bias=False),
            FeatureNorm(1, divisor, bias=config.seg_norm_bias == "trained"),
        )

        # The decision reads the features together with the mask logits, hence one channel more.
        self.extractor = nn.Sequential(
            Halve(),
            _block(features + 1, 8, 5, divisor),
            Halve(),
            _block(8, 16, 5, divisor),
            Halve(),
            _block(16, 32, 5, divisor),
        )

        # 32 maxima and 32 means of the extractor's channels, maximum and mean of the mask logits.
        self.fc = nn.Linear(66, 1)

    def forward(
        self, images_BCHW: Tensor, *, stop: bool = False, trunk_gradient: bool = True
    ) -> SegDecOutput:
        """Logits of images (values in [0, 1], sides multiples of 8).

        Args:
            images_BCHW: Images.
            stop: Gradient stop: the decision's gradient does not reach trunk and mask head.
            trunk_gradient: Whether trunk and mask head are differentiated at all. A defective image without
                a mask has no segmentation loss, so under the stop its trunk needs no backward pass: the
                same update in a third of the time.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and trunk_gradient):
            features_BChw = self.volume(images_BCHW)
            seg_B1hw = self.seg_mask[1](self.seg_mask[0](features_BChw).to(self.fc.weight.dtype))

        # The gradient stop (paper, section 3.1): the decision reads features and mask without changing them.
        seen_B1hw = seg_B1hw.detach() if stop else seg_B1hw
        if stop:
            features_BChw = features_BChw.detach()
        context_BChw = self.extractor(torch.cat((features_BChw, seen_B1hw.to(features_BChw.dtype)), dim=1))

        # Maxima before means, in the order of the authors' code (Table 1 has it the other way), or their
        # checkpoints would be read into the wrong weights. The logits enter raw, before any sigmoid.
        pooled_B66 = torch.cat(
            (
                context_BChw.amax(dim=(2, 3)).to(seen_B1hw.dtype),
                context_BChw.mean(dim=(2, 3), dtype=seen_B1hw.dtype),
                seen_B1hw.amax(dim=(2, 3)),
                seen_B1hw.mean(dim=(2, 3)),
            ),
            dim=1,
        )
        with torch.autocast(pooled_B66.device.type, enabled=False):  # a bfloat16 logit has 8 bits: ties
            logits_B1 = self.fc(pooled_B66)
        return SegDecOutput(logits_B1.squeeze(1), seg_B1hw)


def initialise(network: SegDecNet, seed: int) -> None:
    """Set initial weights: Xavier normal convolutions, PyTorch's default for the last layer.

    Each tensor has random numbers of its own, drawn from ``seed`` and its name. So two networks that differ
    in one layer start equal in all others, which makes their comparison a paired one.
    """
    for name, parameter in network.named_parameters():
        generator = named_generator(seed, name)
        with torch.no_grad():
            if name.startswith("fc."):
                bound = 1 / math.sqrt(network.fc.in_features)
                parameter.uniform_(-bound, bound, generator=generator)
            elif name.endswith("weight"):
                nn.init.xavier_normal_(parameter, generator=generator)


def new_network(config: SegDecConfig, seed: int, device: torch.device) -> SegDecNet:
    """A network with its initial weights, in the config's memory format."""
    network = SegDecNet(config)
    initialise(network, seed)
    return with_layout(network.to(device), config)  # a large kernel lies row by row on a CPU alone
