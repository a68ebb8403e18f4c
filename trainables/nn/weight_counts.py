"""Numbers of weights, without torch: a plan says how much models take on disk, and builds no network.

Each function counts what the layer of its name holds; a test compares them with the networks themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trainables.nn.choices import ResNetShape, TransformerName, TrunkName, TrunkStride
from trainables.nn.trunk.file import TrunkFile

__all__ = ["convolution", "double_conv", "image_head", "plain_unet", "resnet", "trunk", "unet"]

# Published networks up to the map of each stride.
_TRUNKS: Mapping[TrunkName | TransformerName, Mapping[TrunkStride, int]] = {
    "resnet18": {4: 157_504, 8: 683_072, 16: 2_782_784, 32: 11_176_512},
    "lite0": {4: 15_792, 8: 55_504, 16: 700_768, 32: 2_958_848},
    "wide_resnet50_2": {4: 643_904, 8: 4_126_528, 16: 24_862_528, 32: 66_834_240},
    "dinov2_vits14": {14: 22_056_192},
    "dinov2_vits14_reg": {14: 22_057_728},
}


def convolution(inputs: int, outputs: int, side: int, *, bias: bool = False) -> int:
    """Weights of a square kernel; ``side`` 1 is a linear layer, too."""
    return inputs * outputs * side**2 + (outputs if bias else 0)


def double_conv(inputs: int, outputs: int) -> int:
    """Weights of two 3 × 3 convolutions without bias, each with a normalisation of weight and bias."""
    return convolution(inputs, outputs, 3) + convolution(outputs, outputs, 3) + 4 * outputs


def resnet(shape: ResNetShape) -> int:
    """``ResNet18s`` without its last layer."""
    weights = convolution(shape.channels, shape.width, 7 if shape.stem == "tv" else 3) + 2 * shape.width
    inputs, before = shape.width, shape.strides[0]
    for outputs, stride in zip(shape.widths, shape.strides, strict=True):
        # A shortcut has weights where a block changes stride or width, as only a stage's first block can.
        for _ in range(shape.blocks):
            weights += double_conv(inputs, outputs)
            if stride > before or inputs != outputs:
                weights += convolution(inputs, outputs, 1) + 2 * outputs
            inputs, before = outputs, stride
    return weights


def trunk(name: TrunkName | TransformerName | TrunkFile, deepest: TrunkStride) -> int:
    """``Trunk`` up to the map of stride ``deepest``; of a file as many as take its room, 4 bytes each."""
    return name.size // 4 if isinstance(name, TrunkFile) else _TRUNKS[name][deepest]


def unet(widths: Sequence[int]) -> int:
    """The decoder of a U-Net over maps of these widths, fine to coarse, and its head."""
    steps = zip(widths[1:], widths[:-1], strict=True)
    decoder = sum(
        convolution(coarser, finer, 1, bias=True) + double_conv(2 * finer, finer) for coarser, finer in steps
    )
    return decoder + convolution(widths[0], 1, 1, bias=True)


def plain_unet(channels: int, base: int, levels: int, *, top: bool = False) -> int:
    """A U-Net with ``PlainEncoder``, and with ``top`` its image head."""
    widths = [base << level for level in range(levels + 1)]
    pairs = zip((channels, *widths[:-1]), widths, strict=True)
    encoder = sum(double_conv(before, after) for before, after in pairs)
    return encoder + unet(widths) + (image_head(widths[-1]) if top else 0)


def image_head(features: int) -> int:
    """``ImageHead``: a linear layer, and its trust in the pixels."""
    return features + 2
