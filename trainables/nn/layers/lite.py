"""EfficientNet-Lite0: inverted residuals without squeeze-and-excite, ReLU6 throughout, 3.0 million weights.

A network for devices, so for two cores: about a fifth of ResNet-18's multiplications. Names of weights are
those of the published PyTorch state dict, underscores included.

Trade-off: convolutions pad all sides alike, so cell i looks at pixel stride · i as in other networks here.
The published weights were trained with TensorFlow's ``SAME``, which pads a pixel more below and to the right
where there is a stride: the same numbers from an image that is moved, but along its border.

Source: Tan and Le 2019, arXiv:1905.11946, Table 1, and the "Lite" variant of March 2020 (stem and head not
scaled, no squeeze-and-excite, ReLU6).
"""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.nn.layers.norm import BatchNorm

__all__ = ["Lite0"]

# Of each stage: blocks, side of the depthwise kernel, stride of its first block, expansion, channels.
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
           (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))  # fmt: skip
_STEM = 32
_EPSILON = 1e-3  # of batch normalisation, as published
_MOMENTUM = 0.01


def _conv(inputs: int, outputs: int, side: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, stride, padding=side // 2, groups=groups, bias=False)


def _norm(channels: int) -> BatchNorm:
    return BatchNorm(channels, eps=_EPSILON, momentum=_MOMENTUM)


class _Block(nn.Module):
    """Expand, filter each channel by itself, project; a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self._expand_conv = _conv(inputs, inner, 1) if expansion > 1 else None
        self._bn0 = _norm(inner) if expansion > 1 else None
        self._depthwise_conv = _conv(inner, inner, side, stride, groups=inner)
        self._bn1 = _norm(inner)
        self._project_conv = _conv(inner, outputs, 1)
        self._bn2 = _norm(outputs)
        self.has_shortcut = stride == 1 and inputs == outputs

    def forward(self, x_BCHW: Tensor) -> Tensor:
        inner = x_BCHW
        if self._expand_conv is not None and self._bn0 is not None:
            inner = F.relu6(self._bn0(self._expand_conv(inner)))
        inner = F.relu6(self._bn1(self._depthwise_conv(inner)))
        outer = self._bn2(self._project_conv(inner))
        return outer + x_BCHW if self.has_shortcut else outer


class Lite0(nn.Module):
    """The stem and stages of the network, to a stride; without its head and last layer."""

    def __init__(self, deepest: int = 32) -> None:
        """``deepest``: 4, 8, 16 or 32 pixels; stages of a larger stride are left out."""
        super().__init__()
        self._conv_stem = _conv(3, _STEM, 3, stride=2)
        self._bn0 = _norm(_STEM)
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        self._ends: dict[int, int] = {}  # last block of each stride
        inputs, stride = _STEM, 2

        # Only the first block of a stage has its stride; the map that counts for a stride is that of its
        # last block.
        for count, side, first, expansion, outputs in _STAGES:
            stride *= first
            if stride > deepest:
                break
            for number in range(count):
                block = _Block(inputs, outputs, side, first if number == 0 else 1, expansion)
                self._ends[stride] = len(blocks)
                blocks[str(len(blocks))] = block
                inputs = outputs
        self._blocks = nn.Sequential(blocks)

    def forward(self, images_BCHW: Tensor) -> dict[int, Tensor]:
        """Maps by stride, 4 to the deepest, of standardised images."""
        x_BChw = F.relu6(self._bn0(self._conv_stem(images_BCHW)))
        strides = {end: stride for stride, end in self._ends.items() if stride >= 4}
        maps: dict[int, Tensor] = {}
        for number, block in enumerate(self._blocks):
            x_BChw = block(x_BChw)
            if number in strides:
                maps[strides[number]] = x_BChw
        return maps
