"""Segmentation nets that learn from pseudo labels.

A U-Net on standardised images, with an image head where one is asked for. Defect pixels are a thousandth of
what it sees: without ``pos_weight`` no probability reaches 0.5 (IoU 0.000 on blowholes), and with it too many
do. So the trained net's logits are shifted once, until as many training pixels reach 0.5 as the pseudo labels
call defective (``match_area``): no mask is read, and no ranking changes.

Source: Ronneberger et al. 2015, arXiv:1505.04597 (U-Net); loss, head and shift are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.contract import Run
from trainables.data.samples import ImageSet
from trainables.data.tensors import images_to_tensor
from trainables.evaluation.pseudo_labels import OPEN
from trainables.nn.batches.augmentation import drawn_views
from trainables.nn.batches.on_device import TrainingImages
from trainables.nn.batches.sampling import BalancedSampler
from trainables.nn.choices import ImageTask
from trainables.nn.labels.pixels import Labels, PixelMaps, defect_share, label_loss, soft_loss
from trainables.nn.layers.initialisation import drawn_seed, initialise
from trainables.nn.layers.inputs import Standardise
from trainables.nn.layers.unet import ImageHead, PlainEncoder, UNet, prior_logit
from trainables.nn.models import forward_context, with_layout
from trainables.nn.settings import PseudoLabelConfig
from trainables.nn.training.loop import BatchShard, TrainingHooks, train

__all__ = ["SegmentationNet", "SegmentationOutput", "Targets", "match_area", "train_segmentation"]

_REACH, _BINS = 20.0, 4000  # logits are counted between ± 20, in steps of 0.01


class SegmentationOutput(NamedTuple):
    """Logits of a batch, float32."""

    logits_BHW: Tensor
    cls_logits_B: Tensor | None  # of its image head, if it has one


class SegmentationNet(nn.Module):
    """A U-Net, whose logits a constant shifts, and perhaps an image head."""

    def __init__(self, config: PseudoLabelConfig, task: ImageTask | None = None) -> None:
        super().__init__()
        self.config = config
        self.input = Standardise(config.channels)
        encoder = PlainEncoder(config.channels, config.segment_base, config.segment_levels, "gn")
        self.unet = UNet(encoder, encoder.widths, "gn")
        self.image_head = ImageHead(encoder.widths[-1], task.top_share) if task is not None else None
        self.shift: Tensor
        self.register_buffer("shift", torch.zeros(()))

    def start_at(self, logit: float) -> None:
        """Begin with the same logit for all pixels, and even odds for every image."""
        self.unet.start_at(logit)
        if self.image_head is not None:
            self.image_head.start_at(logit)

    def forward(self, images_BCHW: Tensor, reach: float = 0.0) -> SegmentationOutput:
        """Logits of images in [0, 1]. ``reach``: how much their labels teach the pixels (``ImageHead``)."""
        with forward_context(self.config, images_BCHW.device):
            output = self.unet(self.input(images_BCHW))
        map_B1HW = output.map_BOHW.float()
        cls_B = None if self.image_head is None else self.image_head(map_B1HW, output.coarse_BKhw, reach)
        return SegmentationOutput(map_B1HW[:, 0] + self.shift, cls_B)


class Targets(NamedTuple):
    """Labels of the defective images, and what another net says of them."""

    hard: Labels
    soft: Mapping[str, NDArray[np.floating]] = MappingProxyType({})  # probabilities, H × W each, by id
    soft_share: float = 0.0


def train_segmentation(
    config: PseudoLabelConfig,
    images: ImageSet,
    targets: Targets,
    run: Run,
    *,
    task: ImageTask | None = None,
    start: SegmentationNet | None = None,
) -> SegmentationNet:
    """Train a segmentation net on pseudo labels, and match its area to theirs.

    It has an image head where there is a ``task``, and begins with the U-Net of ``start``, or random weights.

    The image head reads pixels from the start, and teaches them more and more: with the share of the steps
    that lie behind, as SegDecNet shifts its loss from pixels to images (Božič et al. 2021, Eq. 1).
    Beside a head that teaches none, image AP and pixel AP rose from 0.879 and 0.290 to 0.941 and 0.434 on
    KolektorSDD; with all of the gradient from the start nets found nothing on magnetic tiles.

    Logs per epoch: ``loss``, ``loss_pixel``, ``loss_image`` (with an image head), ``lr``.
    """
    network = SegmentationNet(config, task)
    initialise(network, drawn_seed(run.generator("init")))
    # Start at the odds of a defect pixel in the pseudo labels, or the first steps only learn that nearly
    # all is background.
    network.start_at(prior_logit(defect_share(targets.hard, images), config.pos_weight))
    if start is not None:
        network.unet.load_state_dict(start.unet.state_dict())
    network.input.measure(images)
    network = with_layout(network, config).to(run.device)

    shown = TrainingImages(images, config, run.device)
    hard, soft = (
        PixelMaps(maps, images.ids, config.image_size, run.device) for maps in (targets.hard, targets.soft)
    )
    views_of = drawn_views(len(images), config.flips, config.photometric, run.generator)

    def backward(shard: BatchShard) -> Mapping[str, Tensor]:
        views, positions = views_of(shard.epoch), shard.positions
        # The pixel loss: hard labels, and where there is a teacher its probabilities beside them, by a share.
        output = network(views.show(shown, positions), reach=shard.progress)
        hard_BHW = hard.batch(positions, views)
        pixel_B = label_loss(
            output.logits_BHW, hard_BHW, pos_weight=config.pos_weight, dice_weight=config.dice_weight
        )
        if targets.soft:
            soft_BHW = soft.batch(positions, views).float()
            soft_B = soft_loss(output.logits_BHW, soft_BHW, pos_weight=config.pos_weight)
            pixel_B = targets.soft_share * soft_B + (1 - targets.soft_share) * pixel_B

        # The image's label joins where there is an image head.
        image_B = torch.zeros_like(pixel_B)
        total_B = pixel_B
        if task is not None and output.cls_logits_B is not None:
            label_B = shown.labels_of(positions)
            image_B = F.binary_cross_entropy_with_logits(output.cls_logits_B, label_B, reduction="none")
            total_B = pixel_B + task.weight * image_B
        (total_B.sum() / shard.size).backward()
        sums = [values_B.detach().sum() for values_B in (total_B, pixel_B, image_B)]
        return dict(zip(names, sums, strict=True))

    names = ("loss", "loss_pixel", "loss_image")
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.segment_lr, weight_decay=config.weight_decay
    )
    sampler = BalancedSampler(images.labels, config.segment_batch)
    hooks = TrainingHooks(backward, names)
    train(network, optimiser, run, schedule=config.segmenting, sampler=sampler, hooks=hooks)
    match_area(network.eval(), images, targets.hard)
    return network


@torch.inference_mode()
def match_area(network: SegmentationNet, images: ImageSet, labels: Labels) -> None:
    """Shift the logits so that as many pixels reach 0.5 as the labels call defective, as nearly as they
    allow.

    Counted over all known pixels of the labelled images together.

    Args:
        network: In evaluation mode.
        images: Holds the labelled images.
        labels: By id.
    """
    counts, wanted = torch.zeros(_BINS, dtype=torch.float64), 0
    # Logits are counted in fine bins, without the shift they have now, over known pixels alone.
    for index in (i for i, name in enumerate(images.ids) if name in labels):
        shown_BCHW = images_to_tensor([images[index].image], network.shift.device)
        label_HW = labels[images.ids[index]]
        known_HW = torch.from_numpy(label_HW != OPEN)
        logits_N = (network(shown_BCHW).logits_BHW[0] - network.shift).cpu()[known_HW]
        counts += torch.histc(logits_N.clamp(-_REACH, _REACH), _BINS, -_REACH, _REACH)
        wanted += int((label_HW == 1).sum())

    # The edge above which most nearly as many pixels lie as are labelled defective becomes logit 0.
    above = torch.cat((counts.flip(0).cumsum(0).flip(0), counts.new_zeros(1)))  # pixels over each edge
    place = int((above - wanted).abs().argmin())
    network.shift.fill_(_REACH - 2 * _REACH * place / _BINS)
