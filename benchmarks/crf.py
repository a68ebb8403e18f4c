"""Seconds of the mean-field CRF beside a naive implementation in the same process, and growth with size.

    python -m benchmarks.crf [--quick] [--threads 1] [--rounds 5]

The naive version is the textbook one in PyTorch: ``F.unfold`` copies the whole (2r + 1)² window of image and
map for every pixel, the kernel is held for all offsets, and every step unfolds the map again. Both compute
the same model in float32 (the difference is printed). Rounds are interleaved, so a busy machine slows both
alike. Sizes: 256 × 256, twice that in one direction, and 512 × 1408, which is KolektorSDD's.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.interleaved import options
from trainables.nn.labels.crf import Crf, mean_field

SIZES = ((256, 256), (256, 512), (512, 1408))


def naive_mean_field(prob_BHW: Tensor, images_BCHW: Tensor, crf: Crf) -> Tensor:
    """The same model, with the window of every pixel written out."""
    count, channels, height, width = images_BCHW.shape
    side, reach = 2 * crf.radius + 1, crf.radius * crf.dilation

    def windows(x_BCHW: Tensor) -> Tensor:
        unfolded = F.unfold(x_BCHW, side, dilation=crf.dilation, padding=reach)
        return unfolded.reshape(count, x_BCHW.shape[1], side * side, height, width)

    steps = crf.dilation * torch.arange(-crf.radius, crf.radius + 1.0)
    square = (steps[:, None] ** 2 + steps**2).reshape(1, -1, 1, 1)
    exists = windows(torch.ones(count, 1, height, width))[:, 0] * (square > 0)
    near = torch.exp(-square / (2 * crf.s_xy**2)) * exists
    unlike = (windows(images_BCHW) - images_BCHW[:, :, None]).square().sum(1) * (3 / channels)
    alike = torch.exp(-square / (2 * crf.s_far**2) - unlike / (2 * crf.s_rgb**2)) * exists
    pair = torch.zeros_like(near)
    for weight, kernel in ((crf.w_xy, near), (crf.w_rgb, alike)):
        norm = kernel.sum(1, keepdim=True).rsqrt()
        pair = pair + weight * norm * kernel * windows(norm)[:, 0]
    unary = torch.logit(prob_BHW, eps=1e-6)
    q = torch.sigmoid(unary)
    for _ in range(crf.steps):
        q = torch.sigmoid(unary + (pair * windows((2 * q - 1)[:, None])[:, 0]).sum(1))
    return q


def scene(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A smooth map and an image of noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 1, size[0] // 16, size[1] // 16, generator=generator)
    prob = F.interpolate(coarse, size=size, mode="bilinear")[:, 0]
    return prob, 255 * torch.rand(1, 1, *size, generator=generator)


def main() -> None:
    given = options("Seconds of the mean-field CRF beside a naive one.", rounds=5)
    rounds = given.rounds
    sizes = SIZES[:1] if given.quick else SIZES
    crf = Crf()

    write = sys.stdout.write
    write(f"Seconds per image, median (least–most) of {rounds} interleaved rounds, {given.threads} threads, ")
    write(f"torch {torch.__version__}, radius {crf.radius}, {crf.steps} steps.\n\n")
    header = ["image", "assay", "naive (unfold)", "ratio", "growth", "largest difference"]
    write(f"| {' | '.join(header)} |\n{'|---' * len(header)}|\n")
    first = 0.0
    for size in sizes:
        prob, images = scene(size)
        seconds: list[list[float]] = [[], []]
        difference = 0.0
        for turn in range(rounds + 1):  # the first to warm up
            results: list[Tensor] = []
            for function, times in zip((mean_field, naive_mean_field), seconds, strict=True):
                begin = time.perf_counter()
                results.append(function(prob, images, crf))
                if turn:
                    times.append(time.perf_counter() - begin)
            difference = float((results[0] - results[1]).abs().max())
        ratios = [naive / ours for ours, naive in zip(*seconds, strict=True)]
        ours, naive = (f"{statistics.median(s):.3f} ({min(s):.3f}–{max(s):.3f})" for s in seconds)
        first = first or statistics.median(seconds[0])
        pixels = size[0] * size[1] / (SIZES[0][0] * SIZES[0][1])
        growth = f"{statistics.median(seconds[0]) / first:.1f} for {pixels:.1f} × the pixels"
        ratio = f"{statistics.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})"
        write(f"| {size[0]} × {size[1]} | {ours} | {naive} | {ratio} | {growth} | {difference:.0e} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
