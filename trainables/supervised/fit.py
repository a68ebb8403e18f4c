"""Training of the supervised baselines, from top to bottom.

A step takes a batch that is half defective, half normal, and the gradient of its mean loss. Several workers
share it, and batch normalisation takes the statistics of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.contract import Run
from trainables.data.samples import ImageSet, TrainingData
from trainables.errors import InputError
from trainables.nn.batches.augmentation import Augmentation, drawn_views
from trainables.nn.batches.on_device import TrainingImages
from trainables.nn.batches.passes import image_batches
from trainables.nn.batches.sampling import BalancedSampler
from trainables.nn.cam.activation import dataset_scale
from trainables.nn.labels.pixels import PixelMaps, defect_share, label_loss, mask_labels
from trainables.nn.layers.initialisation import drawn_seed, initialise
from trainables.nn.layers.inputs import Standardise
from trainables.nn.layers.unet import prior_logit
from trainables.nn.models import forward_context, with_layout
from trainables.nn.training.loop import BatchShard, TrainingHooks, train
from trainables.nn.training.parts import check_images, validation_ap
from trainables.nn.weights import load_weights
from trainables.supervised.config import SupervisedConfig
from trainables.supervised.network import PlainClassifier, SegmentingUNet, SupervisedNet, build, resnet_of
from trainables.supervised.predictor import SupervisedPredictor

__all__ = ["fit", "new_network", "train_batch"]

_LOSSES = {"classifier": ("loss", "loss_image"), "unet": ("loss", "loss_image", "loss_pixel")}


def fit(config: SupervisedConfig, data: TrainingData, run: Run) -> SupervisedPredictor:
    """Train a classifier or a U-Net on ``data``; the weights are those of the last epoch.

    Logs per epoch: ``loss``, ``loss_image``, ``loss_pixel`` (means over the epoch's images and all workers;
    ``loss_pixel`` of the U-Net only), ``lr`` and, where it is computed, ``validation.image_ap``.

    Raises:
        InputError: If images, labels or masks do not suit the config, or a weights file is not the one meant.
        Diverged: If loss or weights are no longer finite.
    """
    config = config.resolved(run.device.type)
    check_images(config, data.train)
    _check_labels(config, data)
    network = new_network(config, data.train, drawn_seed(run.generator("init")), run.device)
    truth: PixelMaps | None = None  # the classifier has no way to a mask, whatever the supervision shows
    if isinstance(network, SegmentingUNet):
        # Defects are a small share of pixels. The map therefore starts at the odds of a defect pixel, or
        # its first steps would only learn that nearly everything is background.
        labels = mask_labels(data.train, config.image_size)
        truth = PixelMaps(labels, data.train.ids, config.image_size, run.device)
        network.start_at(prior_logit(defect_share(labels, data.train), config.pos_weight))
        if config.learns_from_masks_alone:
            network.image_head.read_pixels_alone()
    images = TrainingImages(data.train, config, run.device)
    views_of = drawn_views(len(data.train), config.flips, config.photometric, run.generator)

    def backward(shard: BatchShard) -> Mapping[str, Tensor]:
        return train_batch(network, images, truth, shard, views_of(shard.epoch))

    def validate(_epoch: int) -> Mapping[str, float]:
        return validation_ap(SupervisedPredictor(network, config), data.validation, run.device)

    train(
        network,
        torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay),
        run,
        schedule=config.training,
        sampler=BalancedSampler(data.train.labels, config.batch_size),
        hooks=TrainingHooks(backward, _LOSSES[config.model], validate=validate),
    )
    if isinstance(network, PlainClassifier):
        # The scale is measured last, on the finished weights.
        network.map_scale.copy_(_map_scale(network, data.train))
    return SupervisedPredictor(network.eval(), config)


def new_network(config: SupervisedConfig, images: ImageSet, seed: int, device: torch.device) -> SupervisedNet:
    """A network with its initial weights and the training split's statistics, in the config's memory format.

    Raises:
        InputError: If the config names a weights file that is missing or not the one meant.
    """
    network = build(config)
    initialise(network, seed)
    # A file's weights replace the drawn ones of the body; the head keeps its own.
    if config.weights_file is not None:
        load_weights(resnet_of(network), config)
    if isinstance(network.input, Standardise):
        network.input.measure(images)
    return with_layout(network, config).to(device)


def train_batch(
    network: SupervisedNet,
    images: TrainingImages,
    truth: PixelMaps | None,
    shard: BatchShard,
    views: Augmentation,
) -> dict[str, Tensor]:
    """Add the gradients of a worker's shard of a batch to the network's.

    Args:
        network: In training mode.
        images: The training set.
        truth: Labels of its pixels, as far as they are known; None for the classifier, which reads none.
        shard: Images of the batch; none where other workers have them all.
        views: Of the epoch.

    Returns:
        Sums over the shard's images: total, image and (U-Net) pixel loss.
    """
    config, positions = network.config, shard.positions
    # Forward in the config's precision; all losses are in float32.
    shown_BCHW = views.show(images, positions)
    with forward_context(config, images.device):
        output = network(shown_BCHW)
    label_B = images.labels_of(positions)
    terms = [F.binary_cross_entropy_with_logits(output.cls_logits_B, label_B, reduction="sum")]
    total = terms[0]
    if truth is not None:
        pixel_B = label_loss(
            output.map_logits_B1hw[:, 0],
            truth.batch(positions, views),
            pos_weight=config.pos_weight,
            dice_weight=config.dice_weight,
        )
        terms.append(pixel_B.sum())
        # Pixels carry the training of a U-Net, and the image's label joins with a weight of its own.
        total = terms[1] + config.image_weight * terms[0]

    # Divided by the whole batch and not by this worker's share, so that the workers' gradients add up to
    # the mean's.
    (total / shard.size).backward()
    sums = [term.detach() for term in (total, *terms)]
    return dict(zip(_LOSSES[config.model], sums, strict=True))


def _check_labels(config: SupervisedConfig, data: TrainingData) -> None:
    positives, count = int(data.train.labels.sum()), len(data.train)
    # A U-Net may learn from defective images alone, whose background is its normal class; a classifier has
    # nothing to tell them from.
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


@torch.inference_mode()
def _map_scale(network: PlainClassifier, images: ImageSet) -> Tensor:
    """Divisor of activation maps, from their maxima over defective training images."""
    network.eval()
    device = network.map_scale.device
    # Of defective images only: where a map of a normal image is high it is wrong, and wrong maps must not
    # set the scale.
    maxima: list[float] = []
    for image_1CHW in image_batches(images, np.flatnonzero(images.labels).tolist(), device, 1):
        with forward_context(network.config, device):
            output = network(image_1CHW)
        maxima.append(float(network.head.activation(output.map_logits_B1hw).max()))
    return torch.tensor(dataset_scale(maxima))
