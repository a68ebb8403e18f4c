"""SegDecNet beside a plain loop in the same process: how many times as fast, and how near to float64.

    python -m benchmarks.segdec_throughput [--quick] [--threads 1] [--rounds 5]

The plain loop is what the paper describes, written down directly: one image per step, torch's convolutions,
mean and standard deviation taken separately, the gradient stop as a function that multiplies by 0, so that a
weakly labelled image pays for the whole backward pass. (Its prediction is given ``no_grad``, which the
released code does without.) Both start from the same weights. Rounds are interleaved, and seconds are the
processor's, so a busy machine slows both alike.

Each way has a process of its own. That of the plain loop does with freed memory what the C library does by
itself; behind its ratio stands that beside a plain loop that keeps freed memory as a trial of assay does.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.shared import options, ratio_text
from trainables.data.samples import ImageSet
from trainables.data.tensors import images_to_tensor
from trainables.nn.layers.pooling import Halve
from trainables.nn.layers.same_conv import SameConv
from trainables.runtime.device import keep_freed_memory
from trainables.segdec import TRAINABLE, SegDecConfig
from trainables.segdec.feature_norm import FeatureNorm
from trainables.segdec.fit import SegDecStep
from trainables.segdec.loss import LossWeights, segdec_loss
from trainables.segdec.network import new_network
from trainables.segdec.predictor import SegDecPredictor
from trainables.segdec.targets import MaskTarget, TargetBatch, TrainingTargets, make_target

CPU = torch.device("cpu")
CASES = (  # preset, factor on the channels, image
    ("ksdd", 0.25, (704, 256)),
    ("ksdd", 0.25, (256, 192)),
    ("ksdd", 0.25, (128, 128)),
    ("ksdd2", 1.0, (640, 232)),
    ("ksdd2", 1.0, (128, 128)),
)
WAYS = {  # which of a task's two, and whether freed memory is kept
    "assay": (0, True),
    "plain": (1, False),
    "plain, freed memory kept": (1, True),
}
TASKS = ("training, full", "training, weak", "prediction")
_TURN_S = 0.3  # of a way's turn, so that what the other ways left in the caches weighs little


class _Multiply(torch.autograd.Function):
    """Identity whose gradient is multiplied by 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad * 0


class _PlainNorm(nn.Module):
    def __init__(self, channels: int, relu: bool) -> None:
        super().__init__()
        self.relu = relu
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        mean, std = x.mean(dim=(2, 3), keepdim=True), x.std(dim=(2, 3), keepdim=True)
        y = self.scale * (x - mean) / (std + 0.001).sqrt() + self.bias
        return F.relu(y, inplace=True) if self.relu else y


class PlainNet(nn.Module):
    """The published network without any thought of speed."""

    def __init__(self, config: SegDecConfig) -> None:
        super().__init__()
        volume, *rest = new_network(config, 0, CPU).children()
        self.volume = nn.Sequential(OrderedDict(volume.named_children()))
        self.seg_mask, self.extractor, self.fc = rest  # behind it: gradients are compared in this order
        for part in list(self.modules()):
            for name, child in part.named_children():
                if isinstance(child, FeatureNorm):
                    plain: nn.Module = _PlainNorm(child.scale.shape[1], child.settings[1])
                elif isinstance(child, Halve):
                    plain = nn.MaxPool2d(2)
                elif isinstance(child, SameConv):
                    side = child.weight.shape[2]
                    plain = nn.Conv2d(
                        child.in_channels, child.out_channels, side, padding=side // 2, bias=False
                    )
                else:
                    continue
                plain.load_state_dict(child.state_dict())
                setattr(part, name, plain)
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


def plain_step(
    network: PlainNet, image: Tensor, target: MaskTarget, weights: LossWeights[float], lr: float
) -> None:
    """One image, one step."""
    network.zero_grad()
    cls, seg = network(image)
    loss = weights.cls * F.binary_cross_entropy_with_logits(cls[0], cls.new_tensor(target.label))
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
        step = SegDecStep(network, data, config)

        def ours() -> None:
            for i in range(2):
                optimiser.zero_grad()
                step.backward([i], epoch=1)
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


def differences(config: SegDecConfig) -> str:
    """Distance of an image's gradient and mask logits from float64: ours and the plain loop's."""
    data = surfaces(config, masks=True)
    image = images_to_tensor([data[0].image], CPU)
    target = TrainingTargets([make_target(data[0], config)], config, CPU).batch([0])

    def answers(network: nn.Module, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        network.to(dtype)
        shown = image.to(dtype)
        cls, seg = network(shown) if isinstance(network, PlainNet) else network(shown, stop=True)
        wanted = TargetBatch(*(part.to(dtype) for part in target))
        segdec_loss(cls, seg, wanted, LossWeights.at(1, config)).total.backward()
        gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        return torch.cat(gradients).double(), seg.detach().double()

    exact = answers(new_network(config, 0, CPU), torch.float64)
    ways = (new_network(config, 0, CPU), PlainNet(config))
    in_float32 = [answers(network, torch.float32) for network in ways]
    off = [
        [((a - b).norm() / b.norm()).item() for a, b in zip(way, exact, strict=True)] for way in in_float32
    ]
    return " | ".join(f"{ours:.0e}, {plain:.0e}" for ours, plain in zip(*off, strict=True))


def serve(way: str, config: SegDecConfig, threads: int, pipe: Connection) -> None:
    """Answer the name of a task with the seconds of the processor that an image takes; None ends it."""
    which, keeps = WAYS[way]
    torch.set_num_threads(threads)
    if keeps:
        keep_freed_memory()
    work = {name: ways[which] for name, ways in tasks(config).items()}

    def seconds(passes: int) -> float:
        begin = time.process_time()
        for _ in range(passes):
            work[name]()
        return (time.process_time() - begin) / passes

    while (name := pipe.recv()) is not None:
        passes = max(1, round(_TURN_S / seconds(1)))  # the first of a turn finds cold caches
        pipe.send(seconds(passes) / 2)  # a pass is two images


@contextmanager
def started(config: SegDecConfig, threads: int) -> Generator[dict[str, Connection]]:
    """A process for each way."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes = []
    for way in WAYS:
        pipes[way], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(way, config, threads, theirs), daemon=True))
        processes[-1].start()
    try:
        yield pipes
    finally:
        for pipe in pipes.values():
            pipe.send(None)
        for process in processes:
            process.join()


def measured(pipes: dict[str, Connection], task: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round, after one round to warm up."""
    seconds: dict[str, list[float]] = {way: [] for way in pipes}
    for number in range(rounds + 1):
        for way, pipe in pipes.items():
            pipe.send(task)
            answer = pipe.recv()
            if number:
                seconds[way].append(answer)
    return seconds


def main() -> None:
    given = options(__doc__)
    write = sys.stdout.write
    write("Times as fast as the plain loop by processor seconds, median (least–most) of ")
    write(f"{given.rounds} rounds, {given.threads} thread(s), torch {torch.__version__}, ")
    write(f"{torch.backends.cpu.get_cpu_capability()}; then beside a plain loop that keeps freed memory. ")
    write("Gradient and mask logits: relative difference from float64, assay and plain loop.\n\n")
    write("| width, image | full | weak | prediction | ms | gradient | mask logits |\n")
    write("|---|---|---|---|---|---|---|\n")
    for preset, scale, (height, width) in CASES[2:3] if given.quick else CASES:
        settings = {**TRAINABLE.presets[preset], "channel_scale": scale, "image_size": (height, width)}
        config = SegDecConfig.model_validate(settings).resolved("cpu")
        write(f"| {scale:g}, {height} × {width} × {config.channels} ")
        own_ms = list[str]()
        with started(config, given.threads) as pipes:
            for task in TASKS:
                assay, plain, kept = measured(pipes, task, given.rounds).values()
                own_ms.append(f"{1000 * statistics.median(assay):.3g}")
                beside_kept = statistics.median(a / b for a, b in zip(kept, assay, strict=True))
                write(f"| {ratio_text(plain, assay)}, {beside_kept:.2f} ")
                sys.stdout.flush()
        write(f"| {', '.join(own_ms)} | {differences(config)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
