"""Labels of pixels, from masks or made: as batches on the device that trains, and what they teach.

1 defect, 0 background, ``OPEN`` where a label says nothing. Labels lie by id and are those of defective
images: a normal image is background everywhere.

Source: Ronneberger et al. 2015, arXiv:1505.04597, Eq. 1 (weighted cross-entropy); Milletari et al. 2016,
arXiv:1606.04797, Eq. 3 (Dice, here with plain sums in the denominator).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainables.data.samples import ImageSet
from trainables.evaluation.metrics import truth_at
from trainables.evaluation.pseudo_labels import OPEN
from trainables.nn.batches.augmentation import Augmentation
from trainables.nn.batches.on_device import DeviceRows

__all__ = ["Labels", "PixelMaps", "defect_share", "label_loss", "mask_labels", "soft_loss"]

Labels = Mapping[str, NDArray[np.uint8]]  # H × W each, by id


class PixelMaps:
    """Maps of pixels by id, such as labels, as batches that are flipped as their images are."""

    def __init__(
        self,
        maps: Mapping[str, NDArray[Any]],
        ids: Sequence[str],
        size: tuple[int, int],
        device: torch.device,
    ) -> None:
        """``ids``: of the training set. Images without a map (H × W, ``size``) have 0 everywhere."""
        blank = np.zeros(size, next((each.dtype for each in maps.values()), np.uint8))
        self._rows = DeviceRows(lambda i: maps.get(ids[i], blank), len(ids), device)
        self._none = torch.empty(0, *size, dtype=torch.from_numpy(blank).dtype, device=device)

    def batch(self, positions: Sequence[int], views: Augmentation) -> Tensor:
        """Maps of the images at ``positions``, B × H × W."""
        if not positions:
            return self._none
        return views.flip(self._rows.batch(positions)[:, None], positions)[:, 0]


def mask_labels(images: ImageSet, size: tuple[int, int]) -> Labels:
    """Labels from the masks of ``images``, brought to ``size`` by the rule of the later evaluation.

    A defective image without a mask is open, and so is one whose mask is empty: nobody drew its defect.
    """
    # One array stands for all images of which nothing is known; on a GPU it is then kept once.
    nothing_known = np.full(size, OPEN, np.uint8)
    labels = {name: nothing_known for name, label in zip(images.ids, images.labels, strict=True) if label}
    drawn = {name: mask for name, mask in images.masks.items() if name in labels and mask.any()}
    return labels | {name: truth_at(mask, *size).astype(np.uint8) for name, mask in drawn.items()}


def defect_share(labels: Labels, images: ImageSet) -> float:
    """The share of defect pixels in a batch: half of it normal, where any image is.

    A pixel at least is defect, and one is not: :func:`~trainables.nn.layers.unet.prior_logit` is finite.
    """
    known = [label for label in labels.values() if not (label == OPEN).all()]
    pixels = sum(label.size for label in known) * (1 if images.labels.all() else 2)
    return min(max(sum(int((label == 1).sum()) for label in known), 1), pixels - 1) / pixels


def label_loss(logits_BHW: Tensor, labels_BHW: Tensor, *, pos_weight: float, dice_weight: float) -> Tensor:
    """``mean weighted cross-entropy + dice_weight · Dice`` over the known pixels: B values.

    Dice counts where there is a defect to overlap with: of an empty label it would say the same of one false
    pixel and of all. A defective image of which nothing is known adds 0: else it would teach "no defect".

    Args:
        logits_BHW: Of a defect.
        labels_BHW: 1 defect, 0 background, 255 unknown, which adds nothing.
        pos_weight: Weight of a defect pixel.
        dice_weight: Weight of ``1 − (2 Σ p y + 1) / (Σ p + Σ y + 1)``, where an image has a defect pixel.
    """
    # The mean is over known pixels only, so an image that leaves much open teaches as much as any other.
    known_BHW = (labels_BHW != OPEN).float()
    target_BHW = (labels_BHW == 1).float()
    weight_BHW = known_BHW * (1 + (pos_weight - 1) * target_BHW)
    entropy_BHW = F.binary_cross_entropy_with_logits(
        logits_BHW, target_BHW, weight=weight_BHW, reduction="none"
    )
    entropy_B = entropy_BHW.sum(dim=(1, 2)) / known_BHW.sum(dim=(1, 2)).clamp_min(1)

    # Dice with 1 added above and below: next to no defect pixels leave its slope finite.
    prob_BHW = logits_BHW.sigmoid() * known_BHW
    overlap_B, area_B = (prob_BHW * target_BHW).sum(dim=(1, 2)), target_BHW.sum(dim=(1, 2))
    dice_B = 1 - (2 * overlap_B + 1) / (prob_BHW.sum(dim=(1, 2)) + area_B + 1)
    return entropy_B + dice_weight * (area_B > 0) * dice_B


def soft_loss(logits_BHW: Tensor, prob_BHW: Tensor, *, pos_weight: float) -> Tensor:
    """Mean cross-entropy against another net's probabilities, B values; a likely pixel weighs more."""
    weight_BHW = 1 + (pos_weight - 1) * prob_BHW
    entropy_BHW = F.binary_cross_entropy_with_logits(
        logits_BHW, prob_BHW, weight=weight_BHW, reduction="none"
    )
    return entropy_BHW.mean(dim=(1, 2))
