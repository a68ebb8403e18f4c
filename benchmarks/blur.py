"""Milliseconds of Gaussian smoothing beside a depthwise convolution, the usual way, in one process.

    python -m benchmarks.blur [--quick] [--threads 1] [--rounds 9]

Both repeat the border and cut the Gaussian at 3 σ; the largest difference is printed. Rounds are interleaved.
"""

from __future__ import annotations

import statistics
import sys

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.interleaved import interleaved, options
from trainables.nn.layers.blur import gaussian_blur

_SIGMA = 12.0  # of the small classifier's input
_SHAPES = ((16, 1, 128, 128), (8, 1, 704, 256), (2, 1, 1408, 512))


def convolved(x_BCHW: Tensor, sigma: float) -> Tensor:
    """The same by two convolutions of every channel with a line of weights."""
    channels, radius = x_BCHW.shape[1], round(3 * sigma)
    places = torch.arange(-radius, radius + 1, dtype=x_BCHW.dtype)
    kernel = torch.exp(-(places**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(channels, 1, 1, -1)
    wide = F.pad(x_BCHW, (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(wide, kernel, groups=channels), kernel.transpose(2, 3), groups=channels)


def row(shape: tuple[int, int, int, int], rounds: int) -> str:
    """One line of the table."""
    x_BCHW = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    ways = {
        "products": lambda: gaussian_blur(x_BCHW, _SIGMA),
        "convolution": lambda: convolved(x_BCHW, _SIGMA),
    }
    ours, theirs = (1000 * statistics.median(seconds) for seconds in interleaved(ways, rounds).values())
    apart = float((gaussian_blur(x_BCHW, _SIGMA) - convolved(x_BCHW, _SIGMA)).abs().max())
    batch, _, height, width = shape
    return f"| {batch} × {height} × {width} | {ours:.1f} | {theirs:.1f} | {theirs / ours:.1f} | {apart:.0e} |"


def main() -> int:
    """Time all shapes and print the table."""
    given = options(__doc__ or "", rounds=9)
    shapes = _SHAPES[:1] if given.quick else _SHAPES
    head = "| images | assay, ms | convolution, ms | ratio | difference |\n|---|---|---|---|---|"
    print("\n".join([head, *(row(shape, given.rounds) for shape in shapes)]))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
