"""Networks of the methods with drawn weights: their training steps, and as deployed models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from trainables.cam import TRAINABLE as CAM
from trainables.cam.config import CamConfig, MapSettings
from trainables.cam.maps import CamMaps
from trainables.cam.network import Classifier
from trainables.contract import Predictor
from trainables.evaluation.scorer import Thresholds
from trainables.focus import TRAINABLE as FOCUS
from trainables.focus import FocusConfig
from trainables.focus.predictor import Chain, FocusPredictor, Nets
from trainables.nn.labels.segmentation import SegmentationNet
from trainables.nn.layers.initialisation import initialise
from trainables.nn.models import with_layout
from trainables.runtime.deployed import Card, DeployedModel
from trainables.segdec import TRAINABLE as SEGDEC
from trainables.segdec import SegDecConfig
from trainables.segdec.network import SegDecNet, new_network
from trainables.segdec.predictor import SegDecPredictor
from trainables.supervised import SupervisedConfig
from trainables.supervised.network import build
from trainables.supervised.predictor import SupervisedPredictor
from trainables.unsupervised import TRAINABLE as UNSUPERVISED
from trainables.unsupervised import UnsupervisedConfig
from trainables.unsupervised.anogan import FAnoGan

__all__ = [
    "Classifier",
    "Training",
    "chain_and_student",
    "classifier",
    "critic",
    "deployed_segdec",
    "deployed_supervised",
    "segdec",
    "segmenter",
    "small_f_anogan",
    "step",
]

CPU = torch.device("cpu")
Loss = Callable[[nn.Module, Tensor], Tensor]


class Training(NamedTuple):
    """A network and the images of one of its training steps."""

    make: Callable[[str, tuple[int, int]], tuple[nn.Module, Loss]]
    preset: str
    images: int
    size: tuple[int, int]  # height and width, pixels

    def step(self, layout: torch.memory_format = torch.channels_last) -> Callable[[], None]:
        """A step on images of noise."""
        net, loss = self.make(self.preset, self.size)
        return step(net, loss, torch.rand(self.images, 1, *self.size), layout)

    def __str__(self) -> str:
        return f"{self.images} × {self.size[0]} × {self.size[1]}"


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


def segdec(preset: str, size: tuple[int, int]) -> tuple[SegDecNet, Loss]:
    """SegDecNet at a quarter of its channels."""
    config = SegDecConfig.model_validate(
        {**SEGDEC.presets[preset], "image_size": size, "channel_scale": 0.25}
    )
    return SegDecNet(config), lambda net, images: torch.stack([out.sum() for out in net(images)]).sum()


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


def deployed_segdec(channel_scale: float = 0.25) -> DeployedModel:
    """SegDecNet for images of 704 × 256."""
    settings = {"image_size": (704, 256), "channel_scale": channel_scale}
    config = SegDecConfig.model_validate(settings).resolved("cpu")
    return _deployed(SegDecPredictor(new_network(config, 0, CPU), config), config)


def deployed_supervised(model: str) -> DeployedModel:
    """The baseline ``classifier`` or ``unet`` for images of 256 × 256."""
    config = SupervisedConfig.model_validate({"model": model, "image_size": (256, 256)}).resolved("cpu")
    net = build(config)
    initialise(net, 0)
    return _deployed(SupervisedPredictor(with_layout(net.eval(), config), config), config)


def _deployed(predictor: Predictor, config: SegDecConfig | SupervisedConfig) -> DeployedModel:
    thresholds = Thresholds(image=0.5, image_source="fixed", pixel=0.5, pixel_source="fixed")
    settings: dict[str, Any] = {"trial": "0" * 16, "study": "benchmark", "cell": "base", "trainable": "any"}
    card = Card(
        **settings, revision=1, image_size=config.image_size, channels=config.channels, precision="float32",
        thresholds=thresholds, metrics={}, versions={},
    )  # fmt: skip
    return DeployedModel(predictor, card, CPU)
