"""Milliseconds of a training step contiguous and channels_last, of the networks of each method, on a CPU.

    python -m benchmarks.layout [--quick] [--threads 1] [--rounds 5]

A step is a forward and a backward pass of 8 images in float32; rounds are interleaved. What is faster decides
`memory_format: auto` (`TrainableConfig.resolved`). SegDecNet, whose networks are wide, decides for itself.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.interleaved import interleaved, options
from trainables.cam import TRAINABLE as CAM
from trainables.cam.config import CamConfig
from trainables.cam.network import Classifier
from trainables.focus import TRAINABLE as FOCUS
from trainables.focus import FocusConfig
from trainables.nn.labels.segmentation import SegmentationNet
from trainables.unsupervised import TRAINABLE as UNSUPERVISED
from trainables.unsupervised import UnsupervisedConfig
from trainables.unsupervised.anogan import FAnoGan

_BATCH = 8
_LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def classifier(preset: str, size: tuple[int, int]) -> tuple[nn.Module, Callable[[nn.Module, Tensor], Tensor]]:
    """The classifier of cam, focus and regioncam."""
    config = CamConfig.model_validate({**CAM.presets[preset], "image_size": size})
    return Classifier(config.resolved("cpu")), lambda net, images: net(images).score_B.sum()


def segmenter(preset: str, size: tuple[int, int]) -> tuple[nn.Module, Callable[[nn.Module, Tensor], Tensor]]:
    """The U-Net of focus and regioncam."""
    config = FocusConfig.model_validate({**FOCUS.presets[preset], "image_size": size})
    return SegmentationNet(config.resolved("cpu")), lambda net, images: net(images).logits_BHW.mean()


def critic(preset: str, size: tuple[int, int]) -> tuple[nn.Module, Callable[[nn.Module, Tensor], Tensor]]:
    """f-AnoGAN's generator and critic, as many patches as images."""
    config = UnsupervisedConfig.model_validate({**UNSUPERVISED.presets[preset], "image_size": size})
    nets = FAnoGan(config.resolved("cpu"))
    codes = torch.randn(_BATCH, config.gan_latent)
    return nets, lambda net, images: nets.critic(nets.generator(codes)).sum()


_CASES = (
    ("classifier", classifier, "small", (128, 128)),
    ("classifier", classifier, "pretrained", (224, 224)),
    ("U-Net", segmenter, "reduced", (128, 128)),
    ("U-Net", segmenter, "reduced", (224, 224)),
    ("U-Net", segmenter, "standard", (224, 224)),
    ("generator and critic", critic, "f_anogan_small", (64, 64)),
)


def row(number: int, rounds: int) -> str:
    """One line of the table."""
    what, make, preset, size = _CASES[number]
    images_BCHW = torch.rand((_BATCH, 1, *size), generator=torch.Generator().manual_seed(0))
    ways: dict[str, Callable[[], object]] = {}
    for name, layout in _LAYOUTS.items():
        net, loss = make(preset, size)
        net = net.to(memory_format=layout)  # pyright: ignore[reportCallIssue]
        ways[name] = partial(_step, net, loss, images_BCHW.contiguous(memory_format=layout))
    before, after = (1000 * statistics.median(seconds) for seconds in interleaved(ways, rounds).values())
    return f"| {what}, {preset} | {size[0]} × {size[1]} | {before:.0f} | {after:.0f} | {before / after:.2f} |"


def _step(net: nn.Module, loss: Callable[[nn.Module, Tensor], Tensor], images_BCHW: Tensor) -> None:
    loss(net, images_BCHW).backward()


def main() -> int:
    """Time all cases and print the table."""
    given = options(__doc__ or "", rounds=5)
    cases = 1 if given.quick else len(_CASES)
    head = "| network | images | contiguous, ms | channels_last, ms | ratio |\n|---|---|---|---|---|"
    print("\n".join([head, *(row(number, given.rounds) for number in range(cases))]))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
