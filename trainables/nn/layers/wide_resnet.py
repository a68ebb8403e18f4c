"""``wide_resnet50_2``: ResNet-50 with bottlenecks twice as wide, under torchvision's names.

Sources: He et al. 2016, arXiv:1512.03385, Table 1; Zagoruyko and Komodakis 2016, arXiv:1605.07146.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.nn.layers.norm import BatchNorm

__all__ = ["WideResNet50"]

_BLOCKS = {4: 3, 8: 4, 16: 6, 32: 3}  # by stride
_WIDTH = 128  # of the first stage's 3 × 3 convolutions; those of ResNet-50 have 64
_GROWTH = 2  # channels of a block's output, in units of its 3 × 3 convolution's


class _Bottleneck(nn.Module):
    """1 × 1, 3 × 3 (with the stride, as in torchvision), 1 × 1, and a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * _GROWTH
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = BatchNorm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = BatchNorm(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = BatchNorm(outputs)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, BatchNorm(outputs))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(x_BCHW)))
        inner = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(inner)))))
        shortcut = x_BCHW if self.downsample is None else self.downsample(x_BCHW)
        return F.relu(inner + shortcut)


class WideResNet50(nn.Module):
    """The stem and stages of the network, to a stride; without its last layer."""

    def __init__(self, deepest: int = 32) -> None:
        """``deepest``: 4, 8, 16 or 32 pixels; stages of a larger stride are left out."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = BatchNorm(64)
        self._strides = [stride for stride in _BLOCKS if stride <= deepest]
        inputs = 64
        for stage, stride in enumerate(self._strides):
            width, first = _WIDTH << stage, 1 if stage == 0 else 2
            blocks = [_Bottleneck(inputs, width, first)]
            inputs = width * _GROWTH
            blocks += [_Bottleneck(inputs, width, 1) for _ in range(_BLOCKS[stride] - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

    def forward(self, images_BCHW: Tensor) -> dict[int, Tensor]:
        """Maps by stride, 4 to the deepest, of standardised images."""
        x_BChw = F.max_pool2d(F.relu(self.bn1(self.conv1(images_BCHW))), 3, 2, padding=1)
        maps: dict[int, Tensor] = {}
        for stage, stride in enumerate(self._strides, start=1):
            maps[stride] = x_BChw = self.get_submodule(f"layer{stage}")(x_BChw)
        return maps
