"""Pseudo labels: what a segmentation net learns from where there are maps but no masks.

1 defect, 0 background, 255 unknown. Normal images are 0 everywhere: their label says so. A defective image
has at least one defect pixel: its label says so too, so an empty one keeps the top of its map.

No rule here reads a mask, and thresholds must not be chosen with masks, those of validation included: it
would no longer be weak supervision.

Source: the three rules are ours (Otsu 1979, IEEE Transactions on Systems, Man, and Cybernetics 9, for the
second one); no published text says how the guided-cropping method chooses its threshold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainables.evaluation.pseudo_labels import OPEN, PseudoLabels
from trainables.nn.choices import Cutoffs

__all__ = ["Refinement", "area_threshold", "otsu_threshold", "pseudo_labels", "refined_labels"]

_TOP_SHARE = 0.001  # of the pixels of a defective image whose label would be empty
_BINS = 256


def pseudo_labels(map_BHW: Tensor, positive_B: Tensor, cutoffs: Cutoffs) -> Tensor:
    """Labels of a batch, B × H × W, uint8: 0, 1 or 255.

    Args:
        map_BHW: Maps in [0, 1], each scaled by its own range (``cam.minmax``). 0 is never foreground.
        positive_B: The image labels, bool.
        cutoffs: The rule.
    """
    # A threshold for all maps, or one for each.
    if cutoffs.policy == "otsu":
        start_B11 = otsu_threshold(map_BHW)[:, None, None]
    elif cutoffs.policy == "area_prior":
        start_B11 = area_threshold(map_BHW, cutoffs.area)[:, None, None]
    else:
        start_B11 = cutoffs.foreground
    defect_BHW = (map_BHW >= start_B11) & (map_BHW > 0)

    # The image label promises a defect, so an empty label keeps the top of its map.
    empty_B11 = ~defect_BHW.any(dim=2).any(dim=1)[:, None, None]
    defect_BHW = torch.where(empty_B11, _top(map_BHW), defect_BHW)
    labels_BHW = torch.full_like(map_BHW, OPEN, dtype=torch.uint8)
    labels_BHW[map_BHW <= cutoffs.background] = 0
    labels_BHW[defect_BHW] = 1
    return labels_BHW * positive_B[:, None, None]


class Refinement(NamedTuple):
    """Labels that a net's probabilities were cut into."""

    labels: PseudoLabels
    empty: float  # share of images in which the net saw nothing: they keep the label they had
    void: bool  # most were empty: all labels stay, and no round is trained on them


def refined_labels(
    before: PseudoLabels, prob_NHW: Tensor, name: str, *, foreground: float, background: float
) -> Refinement:
    """Labels from a net's probabilities for the images it was trained on.

    1 from ``foreground`` on, 0 up to ``background``, unknown between. A net that sees nothing in an image
    would take its label away, and the next net would learn from that: such an image keeps its label, and
    where more than half of the images are empty, all do.

    Args:
        before: What the net learned from.
        prob_NHW: Its probabilities, of the same images.
        name: Of the step that the new labels come from.
        foreground: In (0, 1].
        background: Below ``foreground``.
    """
    # Unknown unless the net is sure one way or the other.
    labels_NHW = np.full_like(before.labels, OPEN)
    prob = prob_NHW.numpy()
    labels_NHW[prob <= background] = 0
    labels_NHW[prob >= foreground] = 1
    empty_N = ~(labels_NHW == 1).any(axis=(1, 2))
    share = float(empty_N.mean())
    kept_N = empty_N | (share > 0.5)
    labels_NHW[kept_N] = before.labels[kept_N]
    return Refinement(PseudoLabels(name, before.ids, labels_NHW), share, share > 0.5)


def otsu_threshold(map_BHW: Tensor) -> Tensor:
    """Each map's threshold between its two most distinct classes: B values, where the upper class starts.

    Args:
        map_BHW: Maps in [0, 1]; they are counted in 256 bins.
    """
    bins_BN = (map_BHW.flatten(1) * _BINS).long().clamp(0, _BINS - 1)
    counts = torch.zeros(len(map_BHW), _BINS, dtype=torch.float64, device=map_BHW.device)
    counts.scatter_add_(1, bins_BN, torch.ones_like(bins_BN, dtype=torch.float64))  # exact in any order
    # The variance between the two classes at every cut, up to a factor, from cumulative counts and moments.
    weight = counts.cumsum(dim=1)
    moment = (counts * torch.arange(_BINS, device=map_BHW.device)).cumsum(dim=1)
    rest = (weight[:, -1:] - weight).clamp_min(1)  # the last class is empty, and so is its numerator
    between = (moment[:, -1:] * weight - moment * weight[:, -1:]).square() / (weight.clamp_min(1) * rest)
    return ((between.argmax(dim=1) + 1) / _BINS).to(map_BHW.dtype)


def area_threshold(map_BHW: Tensor, share: float) -> Tensor:
    """The value that a ``share`` of each map's pixels, at least one, reaches: B values."""
    flat_BN = map_BHW.flatten(1)
    return flat_BN.topk(max(1, round(share * flat_BN.shape[1])), dim=1).values[:, -1]


def _top(map_BHW: Tensor) -> Tensor:
    """The highest 0.1 % of each map, at least one pixel, exactly as many also where values are equal."""
    flat_BN = map_BHW.flatten(1)
    places = flat_BN.topk(max(1, round(_TOP_SHARE * flat_BN.shape[1])), dim=1).indices
    top_BN = torch.zeros_like(flat_BN, dtype=torch.bool).scatter_(1, places, value=True)
    return top_BN.reshape(map_BHW.shape)
