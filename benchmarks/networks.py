"""Networks of the methods with drawn weights, and their training steps, to measure speed and memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainables.cam import TRAINABLE as CAM
from trainables.cam.config import CamConfig, MapSettings
from trainables.cam.maps import CamMaps
from trainables.cam.network import Classifier
from trainables.focus import TRAINABLE as FOCUS
from trainables.focus import FocusConfig
from trainables.focus.predictor import Chain, FocusPredictor, Nets
from trainables.nn.labels.segmentation import SegmentationNet
from trainables.nn.layers.initialisation import initialise
from trainables.unsupervised import TRAINABLE as UNSUPERVISED
from trainables.unsupervised import UnsupervisedConfig
from trainables.unsupervised.anogan import FAnoGan

__all__ = [
    "Classifier",
    "Loss",
    "chain_and_student",
    "classifier",
    "critic",
    "segmenter",
    "small_f_anogan",
    "step",
]

Loss = Callable[[nn.Module, Tensor], Tensor]


def classifier(preset: str, size: tuple[int, int]) -> tuple[Classifier, Loss]:
    """The classifier of cam, focus and regioncam."""
    config = CamConfig.model_validate({**CAM.presets[preset], "image_size": size})
    return Classifier(config.resolved("cpu")), lambda net, images: net(images).score_B.sum()


def segmenter(preset: str, size: tuple[int, int]) -> tuple[SegmentationNet, Loss]:
    """The U-Net of focus and regioncam."""
    config = FocusConfig.model_validate({**FOCUS.presets[preset], "image_size": size})
    return SegmentationNet(config.resolved("cpu")), lambda net, images: net(images).logits_BHW.mean()


def critic(preset: str, size: tuple[int, int]) -> tuple[FAnoGan, Loss]:
    """f-AnoGAN's generator and critic, as many patches as images."""
    config = UnsupervisedConfig.model_validate({**UNSUPERVISED.presets[preset], "image_size": size})
    nets = FAnoGan(config.resolved("cpu"))

    def loss(_net: nn.Module, images: Tensor) -> Tensor:
        return nets.critic(nets.generator(torch.randn(len(images), config.gan_latent))).sum()

    return nets, loss


def step(net: nn.Module, loss: Loss, images_BCHW: Tensor, layout: torch.memory_format) -> Callable[[], None]:
    """A training step of ``net``: a forward and a backward pass."""
    net = net.to(memory_format=layout)  # pyright: ignore[reportCallIssue]
    images_BCHW = images_BCHW.contiguous(memory_format=layout)

    def run() -> None:
        loss(net, images_BCHW).backward()
        net.zero_grad()

    return run


def chain_and_student(preset: str, size: tuple[int, int]) -> tuple[FocusPredictor, FocusPredictor]:
    """All modules of ``focus``, and the student of the same settings.

    OpenCV inpaints, as no net is trained here, and the erasing goes on to its last step.
    """
    switches = {"clm": True, "gcm": True, "iem": "both", "crf": True, "round": True}
    switches |= {"iem_inpainter": "telea", "iem_stop": 0.0}
    configs = [
        FocusConfig.model_validate(
            {**FOCUS.presets[preset], "image_size": size, **switches, "distill": distill}
        ).resolved("cpu")
        for distill in (False, True)
    ]
    cam = CamMaps(Classifier(configs[0]), MapSettings(recentre=True)).eval()
    first, second = (SegmentationNet(configs[0]) for _ in range(2))
    chain = Chain(cam, first, second=second, inpainter=None, residual_scale=0.1, uses_crf=True)
    whole = FocusPredictor(Nets(second, cam, uses_crf=True), configs[0], chain)
    return whole, FocusPredictor(Nets.of(configs[1]), configs[1])


def small_f_anogan(side: int) -> FAnoGan:
    """f-AnoGAN of narrow networks that scores overlapping patches, eight pixels apart."""
    config = UnsupervisedConfig.model_validate(
        {
            "model": "f_anogan", "image_size": (side, side), "patch_size": 32, "patch_stride": 8,
            "patch_placing": "overlap", "gan_latent": 32, "gan_width": 8, "gan_norm": "gn",
        }
    )  # fmt: skip
    nets = FAnoGan(config).eval()
    initialise(nets, 0)
    return nets
