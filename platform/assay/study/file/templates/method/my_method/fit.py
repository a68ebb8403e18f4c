"""The training, from top to bottom. The loop itself is shared: see ``trainables.nn.training.loop``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from trainables.contract import Run
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.tensors import images_to_tensor
from trainables.errors import InputError
from trainables.nn.batches.sampling import BalancedSampler
from trainables.nn.layers.initialisation import drawn_seed, initialise
from trainables.nn.models import forward_context, with_layout
from trainables.nn.training.loop import BatchShard, TrainingHooks, TrainingSchedule, train
from trainables.nn.training.parts import check_images, validation_ap

from .config import MyMethodConfig
from .network import STRIDE, Network
from .predictor import MyMethodPredictor

__all__ = ["fit"]


def fit(config: MyMethodConfig, data: TrainingData, run: Run) -> MyMethodPredictor:
    """Train the network on ``data``; the weights are those of the last epoch.

    A defective image whose mask is withheld is left out: where its defect lies is not known.

    Logs per epoch: ``loss`` (mean over the epoch's images and all workers), ``lr`` and, after the last one,
    ``validation.image_ap``.

    Raises:
        InputError: If the images do not fit the config, or no mask of a defect is shown.
        Diverged: If loss or weights are no longer finite.
    """
    config = config.resolved(run.device.type)
    check_images(config, data.train)
    # A withheld mask is no mask of zeros, which would teach that nothing there is defective.
    known = _with_known_pixels(data.train)
    # Random numbers come from the run: cells of a study that are compared share them.
    network = Network(config.channels, config.width)
    initialise(network, drawn_seed(run.generator("init")))
    network = with_layout(network, config).to(run.device)
    predictor = MyMethodPredictor(network, config)

    def backward(shard: BatchShard) -> Mapping[str, Tensor]:
        positions = [known[i] for i in shard.positions]
        images_BCHW = images_to_tensor([data.train[i].image for i in positions], run.device)
        with forward_context(config, run.device):
            logits_B1hw = network(images_BCHW)
        target_B1hw = _targets(data.train, positions, logits_B1hw)
        loss_B = F.binary_cross_entropy_with_logits(logits_B1hw.float(), target_B1hw, reduction="none").mean(
            dim=(1, 2, 3)
        )
        # Sums of the shard over the size of the batch: two workers end where one does.
        (loss_B.sum() / shard.size).backward()
        return {"loss": loss_B.sum().detach()}

    def validate(_epoch: int) -> Mapping[str, float]:
        return validation_ap(predictor, data.validation, run.device)

    train(
        network,
        torch.optim.Adam(network.parameters(), lr=config.lr),
        run,
        schedule=TrainingSchedule(config.epochs),
        sampler=BalancedSampler(data.train.labels[known], config.batch_size),
        hooks=TrainingHooks(backward, losses=("loss",), validate=validate),
    )
    return predictor


def _with_known_pixels(images: ImageSet) -> list[int]:
    """Positions of the images that teach: normal ones, and defective ones whose mask is shown."""
    known = [i for i, name in enumerate(images.ids) if not images.labels[i] or name in images.masks]
    if not images.labels[known].any():
        raise InputError(
            f"this method learns from masks, and none of the {images.labels.sum()} defective training images "
            "shows one. Use supervision: full or {mixed: N}."
        )
    return known


def _targets(images: ImageSet, positions: Sequence[int], like: Tensor) -> Tensor:
    """Masks on the grid of the logits: a cell is defective where any of its pixels is."""
    height, width = like.shape[2] * STRIDE, like.shape[3] * STRIDE
    masks = torch.zeros(len(positions), 1, height, width)
    for place, position in enumerate(positions):
        mask = images.masks.get(images.ids[position])  # at the photo's own size; a normal image has none
        if mask is not None:
            mask_11HW = torch.from_numpy(mask.copy()).float()[None, None]
            masks[place] = F.adaptive_max_pool2d(mask_11HW, (height, width))[0]
    return F.max_pool2d(masks, STRIDE).to(like.device)
