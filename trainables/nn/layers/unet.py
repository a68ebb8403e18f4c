"""The U-Net: an encoder whose maps, fine to coarse, a decoder brings back to full resolution.

Two encoders fit the decoder: the paper's plain one, and a ``resnet18s``, which can start from published
weights. The decoder enlarges a map to the size of the next finer one, whatever the two sizes are, so image
sides need not be multiples of anything.

Departures from the paper: 'same' convolutions instead of valid ones (the output is as large as the image),
a 1 × 1 convolution and bilinear enlargement instead of a transposed convolution (no checkerboard), and a
normalisation after each 3 × 3 convolution.

Source: Ronneberger, Fischer, Brox 2015, arXiv:1505.04597, Fig. 1.
"""

# B images, H × W pixels, h × w cells; C channels, K of the deepest map; O outputs

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from trainables.nn.choices import Norm
from trainables.nn.layers.channels_last import GroupNorm, PointwiseConv, enlarged
from trainables.nn.layers.norm import norm_layer
from trainables.nn.layers.pooling import halve, pool_map

__all__ = ["ImageHead", "PlainEncoder", "UNet", "UNetOutput", "prior_logit"]


class _Encoder(Protocol):
    """The decoder's view of an encoder: maps of an image from fine to coarse (also ``resnet.ResNet18s``)."""

    def features(self, images_BCHW: Tensor) -> list[Tensor]: ...


def _double_conv(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    """Build two 3 × 3 convolutions, each with normalisation and ReLU; the size stays."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers.append(nn.Conv2d(channels, outputs, 3, padding=1, bias=False))
        layers.append(norm_layer(norm, outputs, GroupNorm))
        layers.append(nn.ReLU(inplace=True))  # the normalisation before it needs its input only
    return nn.Sequential(*layers)


class PlainEncoder(nn.Module):
    """The paper's contracting path: ``levels`` halvings, each with twice the channels."""

    def __init__(self, channels: int, base: int, levels: int, norm: Norm) -> None:
        super().__init__()
        self.widths = tuple(base << level for level in range(levels + 1))
        inputs = (channels, *self.widths[:-1])
        self.levels = nn.ModuleList(
            _double_conv(before, after, norm) for before, after in zip(inputs, self.widths, strict=True)
        )

    def features(self, images_BCHW: Tensor) -> list[Tensor]:
        """``levels`` + 1 maps: at full size, a half, a quarter …"""
        maps: list[Tensor] = []
        for index, level in enumerate(self.levels):
            maps.append(level(halve(maps[-1]) if index else images_BCHW))
        return maps


class UNetOutput(NamedTuple):
    """Maps of a batch."""

    map_BOHW: Tensor  # at the image's size: logits of a class of pixels, or values
    coarse_BKhw: Tensor  # the encoder's last map, for an image head


class UNet(nn.Module):
    """Encoder, decoder and a 1 × 1 head.

    Args:
        encoder: Its ``features``, fine to coarse.
        widths: Their numbers of channels.
        norm: Normalisation of the decoder.
        outputs: Numbers per pixel: 1 for a class of pixels, an image's channels to paint it.
    """

    def __init__(self, encoder: nn.Module, widths: Sequence[int], norm: Norm, outputs: int = 1) -> None:
        super().__init__()
        self.encoder = encoder
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))  # (coarser, finer), coarse to fine
        self.narrow = nn.ModuleList(PointwiseConv(coarser, finer) for coarser, finer in steps)
        self.decoder = nn.ModuleList(_double_conv(2 * finer, finer, norm) for _, finer in steps)
        self.head = PointwiseConv(widths[0], outputs)

    @torch.no_grad()
    def start_at(self, logit: float) -> None:
        """Begin with this logit for all pixels."""
        assert self.head.bias is not None
        self.head.bias.fill_(logit)

    def forward(self, images_BCHW: Tensor) -> UNetOutput:
        encoder: _Encoder = self.encoder  # pyright: ignore[reportAssignmentType]
        *finer, coarse = encoder.features(images_BCHW)
        x_BChw = coarse
        for skip, narrow, decode in zip(reversed(finer), self.narrow, self.decoder, strict=True):
            large = _enlarge(narrow(x_BChw), skip)  # the same the other way round, at four times the price
            x_BChw = decode(torch.cat((skip, large), dim=1))
        return UNetOutput(_enlarge(self.head(x_BChw), images_BCHW), coarse)


def prior_logit(share: float, pos_weight: float) -> float:
    """The logit that is best for all pixels alike, where ``share`` of them, weighed so, is defective.

    A bias moves by the learning rate a step, and from 0 would never get where rare defects put it: on
    blowholes the pixel AP of a net on pseudo labels rose from 0.54 to 0.70.

    Source: Lin et al. 2017, arXiv:1708.02002, section 4.1.
    """
    return math.log(pos_weight * share / (1 - share))


class ImageHead(nn.Module):
    """A logit for the image: that of its most suspicious pixels, and what the deepest features add.

    The pixels' share has a weight that starts at 1. In one linear layer over both it would start at random,
    about 0, and a defect of a few pixels, which no mean over the image shows, would be found late or never.
    The image's label does not teach the pixels from the start: those that a U-Net suspects first are normal
    ones, and it would learn them as defects (on blowholes two of three nets then found nothing).
    """

    def __init__(self, features: int, top_share: float) -> None:
        """``features``: of the encoder's last map; ``top_share``: of the pixels, the most suspicious ones."""
        super().__init__()
        self.top_share = top_share
        self.deep = nn.Linear(features, 1)
        self.trust = nn.Parameter(torch.ones(()))

    @torch.no_grad()
    def start_at(self, logit: float) -> None:
        """Begin with even odds for an image whose pixels all have this logit."""
        self.deep.bias.fill_(-logit)

    @torch.no_grad()
    def read_pixels_alone(self) -> None:
        """Leave the deepest features out of a head that nothing teaches what they mean."""
        self.deep.weight.zero_()

    def forward(self, map_B1HW: Tensor, coarse_BKhw: Tensor, reach: float = 0.0) -> Tensor:
        """Logits of B images, from logits of their pixels and deepest features; in float32.

        Args:
            map_B1HW: Of a defect.
            coarse_BKhw: The encoder's last map.
            reach: Share of a gradient that goes on to the pixels, in [0, 1].
        """
        # Also under autocast: a logit decides, and this layer costs nothing.
        with torch.autocast(map_B1HW.device.type, enabled=False):
            # The value is the pixels' in any case; only a share of the gradient goes on to them.
            read_B1HW = map_B1HW.detach().float()
            if reach:
                read_B1HW = read_B1HW + reach * (map_B1HW.float() - read_B1HW)  # the same value
            top_B = pool_map(read_B1HW, "topk", top_share=self.top_share, lse_r=1)
            return self.trust * top_B + self.deep(coarse_BKhw.float().mean(dim=(2, 3))).squeeze(1)


def _enlarge(x_BChw: Tensor, like: Tensor) -> Tensor:
    if x_BChw.shape[2:] == like.shape[2:]:
        return x_BChw
    return enlarged(x_BChw, like.shape[2:])
