"""Losses of SuperSimpleNet: maths only.

Source: Rolih, Fučka, Skočaj 2024, section 3.3; Lin et al. 2017, arXiv:1708.02002, Eq. 4 (focal loss, here
without α). That a defective image without its mask teaches the decision alone is ours, as γ of Božič et al.
2021, Eq. 3.
"""

# B images, h × w cells of the heads

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.supersimple.config import SuperSimpleConfig
from trainables.supersimple.network import HeadOutput

__all__ = ["CellTruth", "Totals", "focal_loss", "head_losses"]

_MARGIN = 0.5


class CellTruth(NamedTuple):
    """Truth of the cells of B images, true defects and noise alike."""

    defect_B1hw: Tensor  # bool
    known_B: Tensor  # bool: a normal image, or a defective one with its mask
    label_B: Tensor  # 1.0: some defect


class Totals(NamedTuple):
    """Numbers that means are taken over, of all workers."""

    normal: Tensor  # cells
    defective: Tensor  # cells
    images: Tensor

    @classmethod
    def of(cls, truth: CellTruth) -> Totals:
        """Those of some images."""
        defective = truth.defect_B1hw.sum()
        cells = truth.known_B.sum() * truth.defect_B1hw[:1].numel()
        return cls(cells - defective, defective, defective.new_full((), len(truth.label_B)))


def head_losses(
    output: HeadOutput, truth: CellTruth, totals: Totals, config: SuperSimpleConfig
) -> tuple[Tensor, Tensor]:
    """This worker's share of the loss of the map, and of that of the decision (0 without a decision head).

    Map: mean relu(m + ½) over normal cells + mean relu(½ − m) over defective ones + the mean focal loss of
    known cells, or one of the two. Decision: mean focal loss of all images.
    """
    defect, map_B1hw = truth.defect_B1hw, output.map_B1hw
    # Cells of a defective image without its mask are neither: they drop out of every term of the map.
    normal = ~defect & truth.known_B[:, None, None, None]
    apart = (map_B1hw + _MARGIN).relu().mul(normal).sum() / totals.normal.clamp_min(1)
    apart = apart + (_MARGIN - map_B1hw).relu().mul(defect).sum() / totals.defective.clamp_min(1)
    # Beyond the margin the first terms have no gradient left; the focal loss goes on sorting the cells that
    # are hard.
    focal_B1hw = focal_loss(map_B1hw, defect.float(), config.focal_gamma) * (normal | defect)
    focal = focal_B1hw.sum() / (totals.normal + totals.defective).clamp_min(1)
    map_loss = {"both": apart + focal, "margin": apart, "focal": focal}[config.map_loss]
    decision_B = focal_loss(output.score_B, truth.label_B, config.focal_gamma)
    # Without a decision head the score is the map's maximum, which the map's own loss already teaches.
    return map_loss, decision_B.sum() / totals.images * float(config.decision)


def focal_loss(logits: Tensor, target: Tensor, gamma: float) -> Tensor:
    """``(1 − p)^γ · −log p`` of each element, p that of the target; γ 0 is the cross-entropy."""
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    if not gamma:
        return entropy
    missing = 1 - (-entropy).exp()
    if gamma < 1:  # the slope of a root is infinite at 0, where the cell is surely right
        missing = missing.clamp_min(torch.finfo(missing.dtype).tiny)
    return missing.pow(gamma) * entropy
