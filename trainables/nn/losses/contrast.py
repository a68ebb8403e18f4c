"""Contrastive losses over features of regions: defects apart from everything normal.

A class-activation map divides an image's features into those of the defect and those of its surroundings;
a projection sends them to the unit sphere, where those of one class attract each other and those of two
classes repel:

    defect_BK, around_BK = region_features(features_BKhw, minmax(map_B1hw).detach(), background=0.2)
    z_ND = project(torch.cat((defect_BK, around_BK)))
    loss = sup_con(z_ND, same_class(classes_N), temperature=0.1)

Source: the loss is SupCon, Khosla et al. 2020, arXiv:2004.11362, Eq. 2. Applying it to the regions of a CAM
follows Xie et al. 2022, arXiv:2203.13505 (recalled, not read again). Together it is our reading of the
contrastive learning module of Yan et al. 2025, of which we had the abstract only.
"""

# B images, K channels of h × w cells; N features, of D numbers on the unit sphere

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "Projection",
    "hardest_feature",
    "region_features",
    "same_class",
    "sup_con",
    "triplet_loss",
]


class Projection(nn.Module):
    """Two linear layers, K → K → ``dim``, and the unit sphere."""

    def __init__(self, channels: int, dim: int = 128) -> None:
        super().__init__()
        self.inner = nn.Linear(channels, channels)
        self.outer = nn.Linear(channels, dim)

    def forward(self, features_NK: Tensor) -> Tensor:
        return F.normalize(self.outer(self.inner(features_NK).relu()), dim=1)


def region_features(features_BKhw: Tensor, map_B1hw: Tensor, background: float) -> tuple[Tensor, Tensor]:
    """Features of what the map shows and of what lies around it, both B × K.

    ``Σ m F / Σ m``, and the mean of F where ``m < background``; the plain mean where there is nothing to
    average over, as on a flat map.

    Args:
        features_BKhw: F.
        map_B1hw: m in [0, 1], at the features' cells; detached, unless the loss is to move the map itself.
        background: In (0, 1).
    """
    around_B1hw = (map_B1hw < background).to(features_BKhw.dtype)
    return _weighted_mean(features_BKhw, map_B1hw), _weighted_mean(features_BKhw, around_B1hw)


def hardest_feature(features_BKhw: Tensor, map_B1hw: Tensor) -> Tensor:
    """The feature where each map is highest, B × K; in a normal image that is a false alarm for certain."""
    place_B11 = map_B1hw.flatten(1).argmax(dim=1)[:, None, None]
    flat_BKN = features_BKhw.flatten(2)
    return flat_BKN.gather(2, place_B11.expand(-1, flat_BKN.shape[1], 1)).squeeze(2)


def same_class(classes_N: Tensor, apart: int | None = None) -> Tensor:
    """N × N: which pairs attract each other: all of one class, none with itself.

    Args:
        classes_N: A class per feature.
        apart: A class whose members do not attract each other. Unlike kinds of defect need not be alike.
    """
    pairs_NN = classes_N[:, None] == classes_N
    if apart is not None:
        pairs_NN = pairs_NN & (classes_N != apart)
    return pairs_NN & ~torch.eye(len(classes_N), dtype=torch.bool, device=classes_N.device)


def sup_con(z_ND: Tensor, positives_NN: Tensor, temperature: float) -> Tensor:
    """``mean_i −1/|P_i| Σ_{p ∈ P_i} log( exp(z_i·z_p / t) / Σ_{a ≠ i} exp(z_i·z_a / t) )``.

    Args:
        z_ND: Points on the unit sphere.
        positives_NN: Which pairs attract each other (:func:`same_class`), bool, without the diagonal.
        temperature: t > 0.

    Returns:
        Scalar: the mean over the anchors that have a positive; 0 if none has one.
    """
    # An anchor is no partner of its own; −∞ before the softmax takes it out of the sum.
    itself = torch.eye(len(z_ND), dtype=torch.bool, device=z_ND.device)
    similar_NN = (z_ND @ z_ND.T / temperature).masked_fill(itself, float("-inf"))
    log_share_NN = similar_NN - similar_NN.logsumexp(dim=1, keepdim=True)
    count_N = positives_NN.sum(dim=1)
    # masked_fill, since −∞ · 0 on the diagonal would be no number
    attracted_N = log_share_NN.masked_fill(~positives_NN, 0).sum(dim=1) / count_N.clamp_min(1)
    return -attracted_N.sum() / (count_N > 0).sum().clamp_min(1)


def triplet_loss(z_ND: Tensor, classes_N: Tensor, margin: float) -> Tensor:
    """``mean_i relu(margin + max_p |z_i − z_p| − min_n |z_i − z_n|)``: the hardest triplet of each anchor.

    Anchors without a positive or without a negative are skipped; 0 if none is left.

    Source: Hermans et al. 2017, arXiv:1703.07737, Eq. 5 (batch hard).
    """
    square_NN = 2 - 2 * (z_ND @ z_ND.T)
    distance_NN = square_NN.clamp_min(1e-12).sqrt()  # the root has no slope at 0
    # The farthest of one's own class and the nearest of another; what does not count is put where it cannot
    # win.
    positives_NN = same_class(classes_N)
    negatives_NN = classes_N[:, None] != classes_N
    valid_N = positives_NN.any(dim=1) & negatives_NN.any(dim=1)
    far_N = distance_NN.masked_fill(~positives_NN, 0).amax(dim=1)
    near_N = distance_NN.masked_fill(~negatives_NN, 2).amin(dim=1)  # 2: as far as the sphere allows
    return ((margin + far_N - near_N).relu() * valid_N).sum() / valid_N.sum().clamp_min(1)


def _weighted_mean(features_BKhw: Tensor, weights_B1hw: Tensor) -> Tensor:
    total_B111 = weights_B1hw.sum(dim=(2, 3), keepdim=True)
    weights_B1hw = torch.where(total_B111 > 0, weights_B1hw, 1.0)
    return (weights_B1hw * features_BKhw).sum(dim=(2, 3)) / weights_B1hw.sum(dim=(2, 3))
