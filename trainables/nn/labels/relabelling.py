"""New pseudo labels from the probabilities of a segmentation net that learned from the old ones.

Rounds of training on one's own labels are an old idea; the guards against a net that sees nothing are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainables.nn.labels.pseudo import UNKNOWN
from trainables.pseudo_labels import PseudoLabels

__all__ = ["Refinement", "by_id", "refined_labels"]


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
    labels_NHW = np.full_like(before.labels, UNKNOWN)
    prob = prob_NHW.numpy()
    labels_NHW[prob <= background] = 0
    labels_NHW[prob >= foreground] = 1
    empty_N = ~(labels_NHW == 1).any(axis=(1, 2))
    share = float(empty_N.mean())
    kept_N = empty_N | (share > 0.5)
    labels_NHW[kept_N] = before.labels[kept_N]
    return Refinement(PseudoLabels(name, before.ids, labels_NHW), share, share > 0.5)


def by_id(labels: PseudoLabels) -> Mapping[str, Tensor]:
    """H × W each, uint8."""
    return {name: torch.from_numpy(label) for name, label in zip(labels.ids, labels.labels, strict=True)}
