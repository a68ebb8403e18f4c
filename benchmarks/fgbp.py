"""Milliseconds of maps by filtering-guided backpropagation beside naive ways to make them, in one process.

    python -m benchmarks.fgbp [--quick] [--threads 1] [--rounds 5]

All ways explain the logits of the same classifier (random weights: speed does not depend on them) at its
first stage, and end in the same maps (the largest relative difference is printed). ``loop``: image by image,
with a backward hook on every ReLU that sorts the gradient for its quantile, as guided backpropagation is
commonly written. ``hooks``: the same hooks on the whole batch, image by image inside of them. ``plain``: the
batch without any filter, which is what the filter costs. Rounds are interleaved, and CPU time is counted, so
that a busy machine disturbs little.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from benchmarks.interleaved import options
from trainables.cam import CamConfig
from trainables.cam.network import Classifier
from trainables.cam.presets import PRESETS
from trainables.nn.cam.activation import layer_cam, score_gradients
from trainables.nn.cam.gradient_filter import GradientFilter
from trainables.nn.cam.guided import GuidedReLU, filtered_gradients
from trainables.nn.layers.initialisation import initialise

LAYER, Q = 1, 0.5
CASES = (("small", (112, 112), 16), ("small", (224, 224), 16), ("pretrained", (256, 256), 4))


def maps(net: Classifier, images: Tensor) -> Tensor:
    """LayerCAM at the first stage."""
    output = net(images)
    activations = output.stages[LAYER]
    (gradients,) = score_gradients(output.score_B, [activations])
    return layer_cam(activations.detach(), gradients)


def assay_maps(net: Classifier, images: Tensor) -> Tensor:
    with filtered_gradients(net, GradientFilter(q=Q)):
        return maps(net, images)


def sorted_filter(_site: Any, passed: Any, _gradients: Any) -> tuple[Tensor]:
    """A backward hook: guide, then drop what lies below the quantile of what is not 0."""
    kept = passed[0].clamp(min=0)
    for image in kept:
        ranked = image[image > 0].sort().values
        if len(ranked):
            image[image < ranked[int(Q * (len(ranked) - 1))]] = 0
    return (kept,)


def hooked_maps(net: Classifier, images: Tensor) -> Tensor:
    with ExitStack() as hooks:
        for site in net.modules():
            if isinstance(site, GuidedReLU):
                hooks.callback(site.register_full_backward_hook(sorted_filter).remove)
        return maps(net, images)


def looped_maps(net: Classifier, images: Tensor) -> Tensor:
    return torch.cat([hooked_maps(net, image[None]) for image in images])


WAYS: dict[str, Callable[[Classifier, Tensor], Tensor]] = {
    "assay": assay_maps, "loop": looped_maps, "hooks": hooked_maps, "plain": maps,
}  # fmt: skip


def main() -> None:
    given = options("Milliseconds of CPU of FGBP maps beside naive ways.", rounds=5)
    rounds = given.rounds
    cases = CASES[:1] if given.quick else CASES

    write = sys.stdout.write
    write(f"Milliseconds of CPU per image, median (least–most) of {rounds} interleaved rounds, ")
    write(f"{given.threads} threads, torch {torch.__version__}, q {Q}.\n\n")
    header = ["classifier, image, batch", *WAYS, "loop / assay", "hooks / assay", "difference"]
    write(f"| {' | '.join(header)} |\n{'|---' * len(header)}|\n")
    for preset, size, count in cases:
        config = CamConfig.model_validate({**PRESETS[preset], "image_size": size}).resolved("cpu")
        net = Classifier(config)
        initialise(net, 0)
        net.eval()
        images = torch.rand(count, 1, *size, generator=torch.Generator().manual_seed(0))
        times: dict[str, list[float]] = {name: [] for name in WAYS}
        maps: dict[str, Tensor] = {}
        for turn in range(rounds + 1):  # the first to warm up
            for name, way in WAYS.items():
                begin = time.process_time()
                maps[name] = way(net, images)
                if turn:
                    times[name].append(1000 * (time.process_time() - begin) / count)
        row = [f"{preset}, {size[0]} × {size[1]}, {count}"]
        row += [f"{statistics.median(s):.2f} ({min(s):.2f}–{max(s):.2f})" for s in times.values()]
        for name in ("loop", "hooks"):
            ratios = [theirs / ours for theirs, ours in zip(times[name], times["assay"], strict=True)]
            row.append(f"{statistics.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})")
        difference = max(float((maps[n] - maps["assay"]).abs().max()) for n in ("loop", "hooks"))
        row.append(f"{difference / float(maps['assay'].max()):.0e}")
        write(f"| {' | '.join(row)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
