"""Losses of the supervised baselines: maths only. All are sums over images, so that workers' parts add up.

Source: Ronneberger et al. 2015, arXiv:1505.04597, Eq. 1 (weighted cross-entropy); Milletari et al. 2016,
arXiv:1606.04797, Eq. 3 (Dice, here with plain sums in the denominator).
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

__all__ = ["PixelTruth", "dice_loss", "image_loss", "pixel_loss"]


class PixelTruth(NamedTuple):
    """Truth of the pixels of B images, at H × W, as far as it is known."""

    mask_B1HW: Tensor  # 1: defect; 0 where nothing is known
    known_B: Tensor  # 1: a normal image, or a defective one whose mask may be read; 0: says nothing
    drawn_B: Tensor  # 1: a defective image whose mask may be read


def image_loss(cls_logits_B: Tensor, label_B: Tensor) -> Tensor:
    """Binary cross-entropy of image labels, summed over the batch."""
    return F.binary_cross_entropy_with_logits(cls_logits_B, label_B, reduction="sum")


def pixel_loss(
    map_logits_B1HW: Tensor, truth: PixelTruth, *, pos_weight: float, dice_weight: float
) -> Tensor:
    """``mean weighted cross-entropy + dice_weight · Dice`` of each image whose pixels are known, summed.

    A normal image's pixels are known without a mask. Dice counts where there is a defect to overlap with: of
    an empty mask it would say the same of one false pixel and of all.
    """
    weight_B1HW = 1 + (pos_weight - 1) * truth.mask_B1HW
    entropy_B = F.binary_cross_entropy_with_logits(
        map_logits_B1HW, truth.mask_B1HW, weight=weight_B1HW, reduction="none"
    ).mean(dim=(1, 2, 3))
    dice_B = dice_loss(map_logits_B1HW, truth.mask_B1HW)
    # γ = 0: a defective image without its mask would teach "no defect anywhere".
    return (truth.known_B * entropy_B + dice_weight * truth.drawn_B * dice_B).sum()


def dice_loss(map_logits_B1HW: Tensor, mask_B1HW: Tensor) -> Tensor:
    """``1 − (2 Σ p m + 1) / (Σ p + Σ m + 1)`` of each image."""
    probability_B1HW = map_logits_B1HW.sigmoid()
    overlap_B = (probability_B1HW * mask_B1HW).sum(dim=(1, 2, 3))
    areas_B = probability_B1HW.sum(dim=(1, 2, 3)) + mask_B1HW.sum(dim=(1, 2, 3))
    return 1 - (2 * overlap_B + 1) / (areas_B + 1)
