"""``resnet18s``: the ResNet-18 layout under torchvision's names, in the sizes that surfaces need.

``ResNet18s(ResNetShape())`` is torchvision's ``resnet18`` without its last layer: a published state dict
loads as it is (``weights.py``). Narrower, shorter and less strided variants share the names.

Every ReLU is a module of its own and writes to a new tensor. torchvision's block calls one in-place module
twice: a hook on it sees two calls, and the values that a backward pass at an inner layer needs are gone.
``guided.filtered_gradients`` changes what passes these ReLUs backwards.

Where a stage's stride would exceed ``output_stride`` it is 1 instead, without dilation: a map twice as fine
from the same weights, with a smaller field of view.

Source: He et al. 2016, arXiv:1512.03385, Table 1; names of parameters as in torchvision.
"""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.nn.cam.guided import GuidedReLU
from trainables.nn.choices import STEM_STRIDE, Norm, ResNetShape
from trainables.nn.layers.norm import BatchNorm, norm_layer

__all__ = [
    "ResNet18s",
    "WideResNet50",
]

_SAFE_CHANNELS = 16  # a register's: 8 numbers of AVX2, 16 of AVX-512


class _SparseConv(nn.Conv2d):
    """A 1 × 1 convolution with a stride, as one of stride 1 at every second (third …) pixel.

    oneDNN's backward pass of the former, channels last, writes beyond its memory where channels are fewer
    than a register holds: crashes, or wrong gradients (uxlfoundation/oneDNN#6035; torch 2.13 on AVX2).
    """

    def forward(self, input: Tensor) -> Tensor:
        down, right = self.stride
        return F.conv2d(input[:, :, ::down, ::right], self.weight, self.bias)


class _BasicBlock(nn.Module):
    """Two 3 × 3 convolutions and a shortcut, with two ReLUs of their own."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = norm_layer(norm, outputs)
        self.relu1 = GuidedReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = norm_layer(norm, outputs)
        self.relu2 = GuidedReLU()
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            kind = nn.Conv2d if inputs >= _SAFE_CHANNELS else _SparseConv
            shortcut = kind(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, norm_layer(norm, outputs))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x_BCHW)))))
        shortcut = x_BCHW if self.downsample is None else self.downsample(x_BCHW)
        return self.relu2(inner + shortcut)


class ResNet18s(nn.Module):
    """A trunk of residual stages."""

    def __init__(self, shape: ResNetShape) -> None:
        super().__init__()
        self.shape = shape
        if shape.stem == "tv":
            self.conv1 = nn.Conv2d(shape.channels, shape.width, 7, 2, padding=3, bias=False)
        else:
            stride = STEM_STRIDE[shape.stem]
            self.conv1 = nn.Conv2d(shape.channels, shape.width, 3, stride, padding=1, bias=False)
        self.bn1 = norm_layer(shape.norm, shape.width)
        self.relu = GuidedReLU()

        # Strides are those of the shape, which stop growing at ``output_stride``: a stage beyond it has
        # stride 1.
        inputs, before = shape.width, STEM_STRIDE[shape.stem]
        for stage, (outputs, after) in enumerate(zip(shape.widths, shape.strides, strict=True), start=1):
            layer: OrderedDict[str, nn.Module] = OrderedDict()
            for block in range(shape.blocks):
                stride = after // before if block == 0 else 1
                layer[str(block)] = _BasicBlock(inputs, outputs, stride, shape.norm)
                inputs = outputs
            self.add_module(f"layer{stage}", nn.Sequential(layer))
            before = after

    def features(self, images_BCHW: Tensor) -> list[Tensor]:
        """Output of the stem (before its max-pool, if any) and of each stage, fine to coarse."""
        x_BChw = self.relu(self.bn1(self.conv1(images_BCHW)))
        stages = [x_BChw]
        if self.shape.stem == "tv":
            x_BChw = F.max_pool2d(x_BChw, 3, 2, padding=1)
        for stage in range(1, self.shape.stages + 1):
            x_BChw = self.get_submodule(f"layer{stage}")(x_BChw)
            stages.append(x_BChw)
        return stages

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Features of the last stage, B × C × h × w."""
        return self.features(images_BCHW)[-1]


# Wide ResNet --------------------------------------------------------------------------------------
# ``wide_resnet50_2``: ResNet-50 with bottlenecks twice as wide, under torchvision's names.
#
# Sources: He et al. 2016, arXiv:1512.03385, Table 1; Zagoruyko and Komodakis 2016, arXiv:1605.07146.


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
