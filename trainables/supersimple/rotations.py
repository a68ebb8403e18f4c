"""A trunk from normal images alone: a network tells how far a square of a surface was turned.

It has to know what the surface looks like and which way it lies, and needs no label. Surfaces that look the
same from all sides teach it nothing: then the share that it gets right, in the stage's log, stays at a
quarter.

Source: Gidaris, Singh, Komodakis 2018, arXiv:1803.07728.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.cam.config import ClassifierConfig
from trainables.cam.network import Classifier
from trainables.contract import Run
from trainables.data.samples import ImageSet
from trainables.nn.batches.augmentation import drawn_views
from trainables.nn.batches.on_device import TrainingImages, sent
from trainables.nn.batches.sampling import BalancedSampler
from trainables.nn.layers.initialisation import drawn_seed, initialise
from trainables.nn.layers.inputs import Standardise
from trainables.nn.models import forward_context, save_model, with_layout
from trainables.nn.training.loop import BatchShard, TrainingHooks, train
from trainables.nn.weights import load_weights
from trainables.stages import StageWork
from trainables.supersimple.features import OwnTrunk
from trainables.unsupervised.normals import normal_images

__all__ = ["train_rotations"]

_TURNS = 4


def make_rotations(work: StageWork, *, weights_file: str | None) -> None:
    config = work.settings(ClassifierConfig, weights_file=weights_file)
    save_model(work.folder, train_rotations(config, work.data.train, work.run), config)


def train_rotations(config: ClassifierConfig, images: ImageSet, run: Run) -> OwnTrunk:
    """Train a trunk on the normal images among ``images``; no other is looked at.

    Logs per epoch: ``loss``, ``right`` (share of the images whose turn is told right) and ``lr``.

    Raises:
        InputError: If a weights file is not the one meant.
        Diverged: If loss or weights are no longer finite.
    """
    images = normal_images(images)
    # Weights are drawn first and those of a file read over them, so the linear layer starts the same with
    # and without a file.
    network = _Turns(config)
    initialise(network, drawn_seed(run.generator("init")))
    trunk = network.trunk
    load_weights(trunk.backbone, config)
    if isinstance(trunk.input, Standardise):
        trunk.input.measure(images)
    network = with_layout(network, config).to(run.device)
    shown = TrainingImages(images, config, run.device)
    views_of = drawn_views(len(images), "none", config.photometric, run.generator)

    def backward(shard: BatchShard) -> Mapping[str, Tensor]:
        # Turns and places are drawn for the whole batch and picked by place, so several workers see what
        # one would.
        shown_BCHW = views_of(shard.epoch).show(shown, shard.positions)
        rng = run.generator("turns", shard.step)  # for the whole batch, whichever worker has which image
        turn_B = rng.integers(0, _TURNS, shard.size)[list(shard.places)]
        place_2B = rng.random((2, shard.size))[:, list(shard.places)]
        with forward_context(config, run.device):
            logits_B4 = network(_turned(shown_BCHW, turn_B.tolist(), place_2B.T.tolist())).float()
        target_B = sent(torch.from_numpy(turn_B), run.device)
        loss = F.cross_entropy(logits_B4, target_B, reduction="sum")
        (loss / shard.size).backward()
        return {"loss": loss.detach(), "right": (logits_B4.argmax(dim=1) == target_B).sum().float()}

    train(
        network,
        torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay),
        run,
        schedule=config.training,
        # One class only: the sampler then shuffles it.
        sampler=BalancedSampler(np.ones(len(images), np.bool_), config.batch_size),
        hooks=TrainingHooks(backward, losses=("loss", "right")),
    )
    return network.trunk.eval()


class _Turns(nn.Module):
    """A trunk, and a linear layer on the means of its last map."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.trunk = OwnTrunk(Classifier(config))
        self.last = nn.Linear(config.resnet.widths[-1], _TURNS)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.last(self.trunk(images_BCHW)[-1].float().mean(dim=(2, 3)))


def _turned(images_BCHW: Tensor, turns: list[int], places: list[list[float]]) -> Tensor:
    """The largest squares of images, cut at places in [0, 1) of what is left over, each turned."""
    height, width = images_BCHW.shape[2:]
    side = min(height, width)
    parts: list[Tensor] = []
    for image_CHW, turn, (down, across) in zip(images_BCHW, turns, places, strict=True):
        # Only a square can be turned by a right angle and keep its shape. The place is drawn, so that long
        # images are seen along their whole length.
        top, left = int(down * (height - side + 1)), int(across * (width - side + 1))
        parts.append(image_CHW[:, top : top + side, left : left + side].rot90(turn, (1, 2)))
    if not parts:  # a worker's share may hold none
        return images_BCHW.new_empty(0, images_BCHW.shape[1], side, side)
    return torch.stack(parts)
