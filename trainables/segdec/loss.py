"""SegDecNet's loss: maths only.

Source: Božič et al. 2021, arXiv:2104.06064, Eq. 1 (mixed-supervision loss), 3 (γ) and 4 (weighted mask loss).
"""

# B images, h × w cells of 8 × 8 pixels

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import torch.nn.functional as F
from torch import Tensor

from trainables.segdec.config import SegDecConfig
from trainables.segdec.targets import TargetBatch

__all__ = ["LossWeights", "Losses", "segdec_loss"]


_NumberT = TypeVar("_NumberT", float, Tensor)


class LossWeights(NamedTuple, Generic[_NumberT]):
    """Weights of the two losses in one epoch, as Python's numbers or on the device."""

    seg: _NumberT
    cls: _NumberT

    @staticmethod
    def at(epoch: int, config: SegDecConfig) -> LossWeights[float]:
        """λ and δ (1 − λ) in ``epoch`` (from 0): first localise, then decide.

        Without balance both count in full, 1 and δ (which is not Eq. 1 at λ = 0.5).
        """
        if config.balance == "none":
            return LossWeights(1.0, config.delta)
        power = config.balance_power if config.balance == "power" else 1.0
        share = (1 - epoch / config.epochs) ** power
        return LossWeights(share, config.delta * (1 - share))


class Losses(NamedTuple):
    """Sums over a batch: ``total`` is differentiated, the parts (unweighted) are for the log."""

    total: Tensor
    seg: Tensor  # of images with γ = 1 only
    cls: Tensor


def segdec_loss(
    cls_logits_B: Tensor, seg_logits_B1hw: Tensor, target: TargetBatch, weights: LossWeights[_NumberT]
) -> Losses:
    """Mixed-supervision loss λ·γ·L_seg + (1 − λ)·δ·L_cls, summed over the batch as in the published training.

    Args:
        cls_logits_B: Image-level defect logits.
        seg_logits_B1hw: Segmentation logits, at an eighth of the image's resolution.
        target: What the batch should give.
        weights: Of the epoch.
    """
    # The weighted loss is averaged over cells and not over the sum of weights, as published: low weights
    # lower the loss.
    seg_B = F.binary_cross_entropy_with_logits(
        seg_logits_B1hw, target.mask_B1hw, weight=target.weight_B1hw, reduction="none"
    ).mean(dim=(1, 2, 3))
    cls_B = F.binary_cross_entropy_with_logits(cls_logits_B, target.label_B, reduction="none")
    # A defective image without its mask would teach "no defect anywhere": γ = 0 silences it.
    seg = (target.gamma_B * seg_B).sum()
    cls = cls_B.sum()
    return Losses(weights.seg * seg + weights.cls * cls, seg.detach(), cls.detach())
