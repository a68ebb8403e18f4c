"""Milliseconds of a training step of the small U-Net beside two others, on a CPU.

    python -m benchmarks.unet [--quick] [--threads 1] [--rounds 15]

A step is a forward and a backward pass of 8 images, float32, channels_last. One other U-Net has torch's own
layers where assay's have a backward pass of their own. The second enlarges each map and then convolves it
3 × 3 to fewer channels, as an up-convolution is often replaced. Rounds are interleaved.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import cast

import torch
from torch import Tensor, nn

from benchmarks.interleaved import interleaved, options
from benchmarks.layout import segmenter
from trainables.nn.labels.segmentation import SegmentationNet
from trainables.nn.layers.channels_last import GroupNorm, PointwiseConv
from trainables.nn.layers.unet import UNet, UNetOutput

_BATCH = 8
_SIZES = ((128, 128), (160, 160))


def enlarged_first(net: UNet, images_BCHW: Tensor) -> UNetOutput:
    """A U-Net's forward pass whose maps are enlarged before they get fewer channels."""
    *finer, coarse = cast("Callable[[Tensor], list[Tensor]]", net.encoder.features)(images_BCHW)
    x_BChw = coarse
    for skip, narrow, decode in zip(reversed(finer), net.narrow, net.decoder, strict=True):
        large_BCHW = nn.functional.interpolate(x_BChw, size=skip.shape[2:], mode="bilinear")
        x_BChw = decode(torch.cat((skip, narrow(large_BCHW)), dim=1))
    return UNetOutput(net.head(x_BChw), coarse)


def steps(size: tuple[int, int]) -> dict[str, Callable[[], object]]:
    """Training steps by name."""
    images_BCHW = torch.rand((_BATCH, 1, *size), generator=torch.Generator().manual_seed(0))
    steps_by_name: dict[str, Callable[[], object]] = {}
    for name in ("assay", "torch's layers", "enlarged first"):
        net, loss = segmenter("reduced", size)
        assert isinstance(net, SegmentationNet)
        if name == "enlarged first":
            convs = [conv for conv in net.unet.narrow if isinstance(conv, nn.Conv2d)]
            wide = [nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1) for conv in convs]
            net.unet.narrow = nn.ModuleList(wide)
            net.unet.forward = MethodType(enlarged_first, net.unet)
        if name == "torch's layers":
            for layer in net.modules():
                if isinstance(layer, GroupNorm):
                    layer.forward = MethodType(nn.GroupNorm.forward, layer)
                elif isinstance(layer, PointwiseConv):
                    layer.forward = MethodType(nn.Conv2d.forward, layer)
        net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        steps_by_name[name] = partial(_step, net, loss, images_BCHW)
    return steps_by_name


def _step(net: nn.Module, loss: Callable[[nn.Module, Tensor], Tensor], images_BCHW: Tensor) -> None:
    loss(net, images_BCHW).backward()
    net.zero_grad()


def rows(size: tuple[int, int], rounds: int) -> list[str]:
    """Lines of the table: medians, and the ratio's median and quartiles."""
    seconds = interleaved(steps(size), rounds)
    lines: list[str] = []
    for name, times in seconds.items():
        ratios = sorted(theirs / ours for theirs, ours in zip(times, seconds["assay"], strict=True))
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        share = f"{statistics.median(ratios):.2f} ({low:.2f}–{high:.2f})"
        lines.append(f"| {size[0]} × {size[1]} | {name} | {1000 * statistics.median(times):.0f} | {share} |")
    return lines


def main() -> int:
    """Time all sizes and print the table."""
    given = options(__doc__ or "", rounds=15)
    lines = [line for size in (_SIZES[:1] if given.quick else _SIZES) for line in rows(size, given.rounds)]
    head = "| images | U-Net | ms, median | times assay (quartiles) |\n|---|---|---|---|"
    print("\n".join([head, *lines]))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
