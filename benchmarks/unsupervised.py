"""Seconds per image of the unsupervised baselines beside naive implementations in the same process.

    python -m benchmarks.unsupervised [--quick] [--threads 1] [--rounds 5]

Uninformed Students: descriptors at every pixel by dilation, against cutting out the patch around every pixel
(256 at a time). f-AnoGAN: scores of a grid of patches in passes, against a loop over patches, one at a time.
Both compute the same (the largest difference is printed). Rounds are interleaved, so a busy machine slows
both alike; the networks are small and untrained, which changes no time.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.interleaved import options
from trainables.nn.layers.initialisation import initialise
from trainables.unsupervised import UnsupervisedConfig
from trainables.unsupervised.anogan import FAnoGan
from trainables.unsupervised.config import Scale
from trainables.unsupervised.patches import PatchGrid
from trainables.unsupervised.patchnet import PatchNet

SCALES: tuple[Scale, ...] = (17, 33, 65)
_WIDTH, _DESCRIPTOR = 16, 32
_CHUNK = 256  # patches that the naive extraction runs together


def patchwise(net: PatchNet, images_BCHW: Tensor) -> Tensor:
    """Descriptors at every pixel of one image, of patches that are cut out."""
    before, after = (net.field - 1) // 2, net.field // 2
    padded = F.pad(images_BCHW, (before, after, before, after), mode="reflect")
    windows = padded.unfold(2, net.field, 1).unfold(3, net.field, 1)
    height, width = windows.shape[2:4]
    descriptors: list[Tensor] = []
    for start in range(0, height * width, _CHUNK):
        places = [divmod(i, width) for i in range(start, min(start + _CHUNK, height * width))]
        descriptors.append(net(torch.stack([windows[0, :, i, j] for i, j in places])))
    return torch.cat(descriptors).T.reshape(1, -1, height, width)


def one_by_one(nets: FAnoGan, images_BCHW: Tensor) -> Tensor:
    """The map of one image, each patch by itself."""
    config = nets.config
    grid = PatchGrid(config.image_size, config.patch_size, config.patch_stride, config.patch_placing)
    windows = grid.windows(2 * images_BCHW - 1)
    scores = torch.empty(1, grid.rows, grid.columns)
    for i in range(grid.rows):
        for j in range(grid.columns):
            seen = nets.distances(windows[:, :, i, j])
            scores[0, i, j] = (seen.image_N + config.kappa * seen.feature_N)[0]
    return grid.spread(scores)


def cases(quick: bool) -> list[tuple[str, Callable[[], Tensor], Callable[[], Tensor]]]:
    """Name, ours, naive."""
    pairs: list[tuple[str, Callable[[], Tensor], Callable[[], Tensor]]] = []
    generator = torch.Generator().manual_seed(0)
    size = (64, 64)
    images = torch.rand(1, 1, *size, generator=generator)
    for scale in SCALES[:1] if quick else SCALES:
        net = PatchNet(scale, 1, _WIDTH, _DESCRIPTOR)
        initialise(net, 0)
        name = f"descriptors, scale {scale}, {size[0]} × {size[1]}"
        pairs.append((name, lambda net=net: net.dense(images), lambda net=net: patchwise(net, images)))
    for side in (128,) if quick else (128, 256):
        config = UnsupervisedConfig.model_validate(
            {
                "model": "f_anogan", "image_size": (side, side), "patch_size": 32, "patch_stride": 8,
                "patch_placing": "overlap", "gan_latent": 32, "gan_width": 8, "gan_norm": "gn",
            }
        )  # fmt: skip
        nets = FAnoGan(config).eval()
        initialise(nets, 0)
        shown = torch.rand(1, 1, side, side, generator=generator)
        name = f"f-AnoGAN, stride 8, {side} × {side}"
        pairs.append((name, lambda n=nets, x=shown: n.anomaly(x), lambda n=nets, x=shown: one_by_one(n, x)))
    return pairs


def main() -> None:
    given = options("Seconds of the unsupervised baselines beside naive ones.", rounds=5)
    rounds = given.rounds

    write = sys.stdout.write
    write(
        f"Seconds per image, median (least–most) of {rounds} interleaved rounds, {given.threads} threads, "
        f"torch {torch.__version__}, load {os.getloadavg()[0]:.1f} at the start.\n\n"
    )
    header = ["task", "assay", "naive", "ratio", "largest difference"]
    write(f"| {' | '.join(header)} |\n{'|---' * len(header)}|\n")
    for name, *functions in cases(given.quick):
        seconds: list[list[float]] = [[], []]
        results: list[Tensor] = []
        for turn in range(rounds + 1):  # the first to warm up
            results = []
            for function, times in zip(functions, seconds, strict=True):
                begin = time.perf_counter()
                with torch.inference_mode():
                    results.append(function())
                if turn:
                    times.append(time.perf_counter() - begin)
        ratios = [naive / ours for ours, naive in zip(*seconds, strict=True)]
        ours, naive = (f"{statistics.median(s):.3f} ({min(s):.3f}–{max(s):.3f})" for s in seconds)
        ratio = f"{statistics.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})"
        difference = float((results[0] - results[1]).abs().max())
        write(f"| {name} | {ours} | {naive} | {ratio} | {difference:.0e} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
