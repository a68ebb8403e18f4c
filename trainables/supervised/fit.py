"""Training of the supervised baselines, from top to bottom.

A step takes a batch that is half defective, half normal. Each worker sums the losses of its own images,
divided by the size of the whole batch; the sum of the workers' gradients is then the gradient of the mean,
however the batch was divided. Batch normalisation would break that (each worker has other statistics), so
it is refused with several workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainables.contract import Run, refuse_small_batch
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.tensors import images_to_tensor
from trainables.errors import InputError
from trainables.nn.augmentation import Augmentation
from trainables.nn.cam.activation import dataset_scale
from trainables.nn.layers.initialisation import initialise
from trainables.nn.layers.inputs import Standardise
from trainables.nn.layers.unet import prior_logit
from trainables.nn.models import forward_context, with_layout
from trainables.nn.sampling import BalancedSampler
from trainables.nn.training import (
    learning_rate,
    mean_over_workers,
    require_finite,
    restore_checkpoint,
    save_checkpoint,
    validation_ap,
)
from trainables.supervised.config import SupervisedConfig
from trainables.supervised.loss import image_loss, pixel_loss
from trainables.supervised.network import Classifier, SegmentingUNet, SupervisedNet, build, resnet_of
from trainables.supervised.predictor import SupervisedPredictor
from trainables.supervised.truth import Truths

__all__ = ["Batch", "fit", "new_network", "train_batch"]


def fit(config: SupervisedConfig, data: TrainingData, run: Run) -> SupervisedPredictor:
    """Train a classifier or a U-Net on ``data``; the weights are those of the last epoch.

    Logs per epoch: ``loss``, ``loss_image``, ``loss_pixel`` (means over the epoch's images and all workers;
    ``loss_pixel`` of the U-Net only), ``lr`` and, where it is computed, ``validation.image_ap``.

    Raises:
        InputError: If images, labels or masks do not suit the config, or a weights file is not the one meant.
        Diverged: If loss or weights are no longer finite.
    """
    config = config.resolved("cuda" if run.device.type == "cuda" else "cpu")
    _check(config, data, run)
    network = new_network(config, data.train, int(run.generator("init").integers(2**63)), run.device)
    truths = _truths(config, data)
    if isinstance(network, SegmentingUNet) and truths is not None:
        network.start_at(prior_logit(truths.share, config.pos_weight))
    optimiser = _optimiser(network, config)
    sampler = BalancedSampler(data.train.labels, config.batch_size)
    epochs = max(config.epochs, -(-config.min_steps // sampler.steps))
    start = restore_checkpoint(run, network, optimiser, sampler)

    for epoch in range(start, epochs):
        network.train()
        sums = torch.zeros(4, device=run.device)
        views = Augmentation.draw(
            len(data.train), config.flips, config.photometric, run.generator("augment", epoch)
        )
        batches = sampler.epoch(run.generator("order", epoch), lambda n: run.generator("negatives", n))
        for step, batch in enumerate(batches, start=epoch * sampler.steps):
            _set_rate(optimiser, learning_rate(config.lr, config.schedule, step, epochs * sampler.steps))
            optimiser.zero_grad(set_to_none=False)
            part = run.shard(batch)
            sums += train_batch(network, data.train, truths, Batch(part, views, len(batch)))
            run.reduce(network.parameters())
            optimiser.step()
            run.step(step + 1, epochs * sampler.steps, epochs)
        metrics = _losses(sums, run, network) | {"lr": optimiser.param_groups[0]["lr"]}
        require_finite(epoch, metrics, network)
        if data.validation is not None and (epoch % config.validate_every == 0 or epoch == epochs - 1):
            metrics |= validation_ap(SupervisedPredictor(network, config), data.validation, run.device)
        run.log(epoch, metrics, epochs)
        save_checkpoint(run, epoch + 1, network, optimiser, sampler)

    if isinstance(network, Classifier):
        network.map_scale.copy_(_map_scale(network, data.train))
    return SupervisedPredictor(network.eval(), config)


@dataclass(frozen=True)
class Batch:
    """One worker's part of a global batch."""

    positions: Sequence[int]  # in the training set; may be empty
    views: Augmentation
    size: int  # images of the global batch


def new_network(config: SupervisedConfig, images: ImageSet, seed: int, device: torch.device) -> SupervisedNet:
    """A network with its initial weights and the training split's statistics, in the config's memory format.

    Raises:
        InputError: If the config names a weights file that is missing or not the one meant.
    """
    network = build(config)
    initialise(network, seed)
    if config.weights_file is not None:
        config.load_weights(resnet_of(network))
    if isinstance(network.input, Standardise):
        network.input.measure(images)
    return with_layout(network, config).to(device)


def train_batch(network: SupervisedNet, images: ImageSet, truths: Truths | None, batch: Batch) -> Tensor:
    """Add the gradients of a worker's part of a batch to the network's.

    Args:
        network: In training mode.
        images: The training set.
        truths: What is known of its pixels; None for the classifier, which reads none.
        batch: Which of them, and how they are seen.

    Returns:
        Sums over the part: total, image and pixel loss, and the number of images.
    """
    config, positions = network.config, batch.positions
    device = next(network.parameters()).device
    if not positions:
        return torch.zeros(4, device=device)
    shown_BCHW = images_to_tensor([images[i].image for i in positions], device)
    shown_BCHW = batch.views.flip(batch.views.expose(shown_BCHW, positions), positions)
    if config.memory_format == "channels_last":
        shown_BCHW = shown_BCHW.contiguous(memory_format=torch.channels_last)
    label_B = torch.tensor([float(images.labels[i]) for i in positions], device=device)
    with forward_context(config, device):
        output = network(shown_BCHW)
    image = total = image_loss(output.cls_logits_B, label_B)
    pixel = torch.zeros((), device=device)
    if truths is not None:
        truth = truths.batch(positions, batch.views, device)
        pixel = pixel_loss(
            output.map_logits_B1hw, truth, pos_weight=config.pos_weight, dice_weight=config.dice_weight
        )
        total = pixel + config.image_weight * image
    (total / batch.size).backward()
    count = torch.full((), float(len(positions)), device=device)
    return torch.stack((total.detach(), image.detach(), pixel.detach(), count))


def _optimiser(network: SupervisedNet, config: SupervisedConfig) -> torch.optim.Optimizer:
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    # A batch without masks leaves no gradient in the mask head. AdamW would skip such a weight, and after a
    # reduction over workers would not: zeros from the start make both the same.
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return optimiser


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def _truths(config: SupervisedConfig, data: TrainingData) -> Truths | None:
    """The classifier's is None: it has no way to a mask, whatever the supervision shows."""
    return Truths.of(data.train, config.image_size) if config.model == "unet" else None


def _check(config: SupervisedConfig, data: TrainingData, run: Run) -> None:
    # Refuses a global batch smaller than the number of workers, before anything is trained.
    refuse_small_batch(config.batch_size, run.world_size)
    if run.world_size > 1 and config.norm == "bn":
        raise InputError(
            f"norm: bn takes statistics over a worker's own images, so {run.world_size} workers would train "
            "another model than one. Set norm: gn, or resources.workers: 1."
        )
    positives, count = int(data.train.labels.sum()), len(data.train)
    if not positives or (config.model == "classifier" and positives == count):
        needed = "defective and normal images" if config.model == "classifier" else "defective images"
        raise InputError(
            f"model: {config.model} trains on {needed}, found {positives} defective and {count - positives} "
            "normal ones in the training set. Use another split or more images."
        )
    if config.model == "unet" and not any(data.train.masks[name].any() for name in data.train.masks):
        raise InputError(
            f"model: unet learns from masks, and the training set shows none of its {positives} defects "
            f"(supervision {data.supervision}). Use supervision: full or {{mixed: N}}, or model: classifier."
        )
    expected, found = (*config.image_size, config.channels), data.train[0].image.shape
    if found != expected:
        raise InputError(
            f"images have the config's image_size and channels, {expected}, found {found} in "
            f"{data.train.ids[0]}. Prepare the images with this config's size."
        )


def _losses(sums: Tensor, run: Run, network: SupervisedNet) -> dict[str, float]:
    names = ("loss", "loss_image", "loss_pixel")[: 2 if isinstance(network, Classifier) else 3]
    return dict(zip(names, mean_over_workers(sums, run), strict=False))


@torch.inference_mode()
def _map_scale(network: Classifier, images: ImageSet) -> Tensor:
    """What activation maps are divided by, from their maxima over defective training images."""
    network.eval()
    device = network.map_scale.device
    maxima: list[float] = []
    for index in np.flatnonzero(images.labels).tolist():
        with forward_context(network.config, device):
            output = network(images_to_tensor([images[index].image], device))
        maxima.append(float(network.head.activation(output.map_logits_B1hw).max()))
    return torch.tensor(dataset_scale(maxima))
