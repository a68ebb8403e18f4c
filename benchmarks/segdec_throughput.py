"""Images per second of SegDecNet, training and prediction, beside a plain loop in the same process.

    python benchmarks/segdec_throughput.py [--quick] [--threads 2] [--rounds 5]

The plain loop is what the paper describes, written down directly: one image per step, mean and standard
deviation taken separately, the gradient stop as a function that multiplies by 0, so that a weakly labelled
image pays for the whole backward pass. (Its prediction is given ``no_grad``, which the released code does
without.) Both start from the same weights. Rounds are interleaved, so a busy machine slows both alike.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.data.samples import ImageSet
from trainables.data.tensors import images_to_tensor
from trainables.segdec import TRAINABLE, SegDecConfig
from trainables.segdec.fit import train_batch
from trainables.segdec.loss import LossWeights
from trainables.segdec.network import FeatureNorm, new_network
from trainables.segdec.predictor import SegDecPredictor
from trainables.segdec.targets import MaskTarget, make_target

CPU = torch.device("cpu")


class _Multiply(torch.autograd.Function):
    """Identity whose gradient is multiplied by 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad * 0


class _PlainNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        mean, std = x.mean(dim=(2, 3), keepdim=True), x.std(dim=(2, 3), keepdim=True)
        return self.scale * (x - mean) / (std + 0.001).sqrt() + self.bias


class PlainNet(nn.Module):
    """The published network without any thought of speed."""

    def __init__(self, config: SegDecConfig) -> None:
        super().__init__()
        self.volume, self.seg_mask, self.extractor, self.fc = new_network(config, 0, CPU).children()
        for part in list(self.modules()):
            for name, child in part.named_children():
                if isinstance(child, FeatureNorm):
                    norm = _PlainNorm(child.scale.shape[1])
                    norm.load_state_dict(child.state_dict())
                    setattr(part, name, norm)
        for parameter in self.parameters():
            parameter.data = parameter.data.contiguous()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.volume(image)
        seg = self.seg_mask(features)
        context = self.extractor(_Multiply.apply(torch.cat((features, seg), dim=1)))
        pooled = torch.cat(
            (
                context.amax(dim=(2, 3)),
                context.mean(dim=(2, 3)),
                _Multiply.apply(seg.amax(dim=(2, 3))),
                _Multiply.apply(seg.mean(dim=(2, 3))),
            ),
            dim=1,
        )
        return self.fc(pooled)[:, 0], seg


def plain_step(network: PlainNet, image: Tensor, target: MaskTarget, weights: LossWeights, lr: float) -> None:
    """One image, one step."""
    network.zero_grad()
    cls, seg = network(image)
    loss = weights.cls * F.binary_cross_entropy_with_logits(cls[0], torch.tensor(target.label))
    if target.gamma:
        maps = target.maps_2hw
        if maps is None:
            maps = torch.stack((torch.zeros_like(seg[0, 0]), torch.ones_like(seg[0, 0])))
        each = F.binary_cross_entropy_with_logits(seg[0, 0], maps[0], reduction="none")
        loss = loss + weights.seg * (maps[1] * each).mean()
    loss.backward()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.sub_(lr * parameter.grad)


def surfaces(config: SegDecConfig, masks: bool) -> ImageSet:
    """A defective and a normal image of noise."""
    rng = np.random.default_rng(0)
    shape = (*config.image_size, config.channels)
    images = {name: rng.integers(60, 160, shape, dtype=np.uint8) for name in ("defect", "normal")}
    mask = np.zeros(config.image_size, np.uint8)
    mask[80:120, 60:90] = 1
    return ImageSet(("defect", "normal"), np.array([True, False]), images, {"defect": mask} if masks else {})


def tasks(config: SegDecConfig) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Tasks to time, two images each: ours and the plain loop."""
    network, plain = new_network(config, 0, CPU), PlainNet(config)
    optimiser = torch.optim.SGD(network.parameters(), lr=config.lr)
    predictor = SegDecPredictor(network, config)
    weights = LossWeights.at(1, config)

    def training(masks: bool) -> tuple[Callable[[], object], Callable[[], object]]:
        data = surfaces(config, masks)
        targets = [make_target(sample, config) for sample in data]

        def ours() -> None:
            for i in range(2):
                optimiser.zero_grad()
                train_batch(network, data, targets, [i], epoch=1, config=config)
                optimiser.step()

        def theirs() -> None:
            for i in range(2):
                plain_step(plain, images_to_tensor([data[i].image], CPU), targets[i], weights, config.lr)

        return ours, theirs

    both = images_to_tensor([sample.image for sample in surfaces(config, masks=False)], CPU)

    def plain_prediction() -> None:
        with torch.no_grad():
            for image in both.split(1):
                torch.sigmoid(plain(image)[0])

    return {
        "training, full": training(masks=True),
        "training, weak": training(masks=False),
        "prediction": (lambda: predictor.predict(both), plain_prediction),
    }


def measure(pair: tuple[Callable[[], object], Callable[[], object]], rounds: int) -> list[list[float]]:
    """Images per second of ours and of the plain loop, round by round after one to warm up."""
    rates: list[list[float]] = [[], []]
    for turn in range(rounds + 1):
        for task, measured in zip(pair, rates, strict=True):
            begin = time.perf_counter()
            task()
            if turn:
                measured.append(2 / (time.perf_counter() - begin))
    return rates


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Images per second of SegDecNet beside a plain loop.")
    parser.add_argument("--quick", action="store_true", help="quarter width, two rounds")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default: 5)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    scale, rounds = (0.25, 2) if options.quick else (1.0, options.rounds)

    write = sys.stdout.write
    write(f"Images/s, median (least–most) of {rounds} interleaved rounds, {options.threads} threads, ")
    write(f"torch {torch.__version__}, channel_scale {scale:g}; speedup: median of the rounds' ratios.\n\n")
    write("| image, batch 1 | task | assay | plain loop | speedup |\n|---|---|---|---|---|\n")
    for preset, size in (("ksdd2", "232×640×3"), ("dagm", "512×512×1")):
        settings = {**TRAINABLE.presets[preset], "channel_scale": scale}
        config = SegDecConfig.model_validate(settings).resolved("cpu")
        for name, pair in tasks(config).items():
            ours, plain = measure(pair, rounds)
            ratio = spread([a / b for a, b in zip(ours, plain, strict=True)])
            write(f"| {size} | {name} | {spread(ours)} | {spread(plain)} | {ratio} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
