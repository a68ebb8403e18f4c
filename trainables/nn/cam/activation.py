"""Class-activation maps: which cells of a classifier's features speak for a defect.

``CamHead`` gives a map of evidence L and the image's logit s. The class-activation map (CAM) is read off L;
Grad-CAM, Grad-CAM++ and LayerCAM weigh the activations A of any layer by g = ∂s/∂A:

    score_B = head.score(head(features[-1]))
    (g,) = score_gradients(score_B, [features[1]])      # network in eval mode, outside no_grad
    map_B1hw = layer_cam(features[1], g)

Every map is raw: ≥ 0, at the layer's own cells (``pooling.enlarge_cells`` brings it to pixels). Those of the
gradients carry no gradient themselves. There are two ways to scale a map. ``minmax`` per image is for pseudo
labels of defective images only: it lets every normal image reach 1. Scores over a test set take one scale for
all images, ``dataset_scale``.

The gradient maps agree with those of the package grad-cam 1.5.7 (MIT) to 1e-5: a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from trainables.nn.choices import Fusion, Pool
from trainables.nn.layers.pooling import pool_map

__all__ = [
    "GRADIENT_MAPS",
    "CamHead",
    "GradientMap",
    "dataset_scale",
    "fuse_layers",
    "grad_cam",
    "grad_cam_plus_plus",
    "layer_cam",
    "minmax",
    "score_gradients",
]

GradientMap = Literal["grad_cam", "grad_cam++", "layer_cam"]

_PERCENTILE = 99.5  # of the maxima over training positives: where a heatmap is 1
_MINMAX_EPS = 1e-7
_PLUS_PLUS_EPS = 1e-6  # as in grad-cam


class CamHead(nn.Conv2d):
    """A 1 × 1 convolution from features to one map of evidence L, and what is read off it.

    The convolution comes before the pooling, so the map is exact, ``L − bias = Σ_c w_c F_c``, under any
    pooling; under mean pooling ``mean(L − bias) + bias`` is the logit. No pooling sees where in the map the
    evidence lies: see ``recentre``.

    Source: Zhou et al. 2016, arXiv:1512.04150; the 1 × 1 form is equivalent to it under mean pooling.
    """

    def __init__(self, channels: int, pool: Pool, *, top_share: float, lse_r: float) -> None:
        super().__init__(channels, 1, 1)
        self.pool: Pool = pool
        self.top_share = top_share
        self.lse_r = lse_r

    def score(self, evidence_B1hw: Tensor) -> Tensor:
        """The images' logits s, B numbers, from this layer's output L."""
        return pool_map(evidence_B1hw, self.pool, top_share=self.top_share, lse_r=self.lse_r)

    def activation(self, evidence_B1hw: Tensor) -> Tensor:
        """The class-activation map ``relu(L − bias)``, raw."""
        assert self.bias is not None
        return (evidence_B1hw - self.bias).relu()


def score_gradients(score_B: Tensor, activations: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The gradient of each image's logit in each layer, ∂s/∂A, in the layers' shapes B × K × h × w.

    Args:
        score_B: Logits. The network must be in eval mode: in training, batch normalisation mixes the images.
        activations: The layers' outputs in the graph of ``score_B``.
    """
    return torch.autograd.grad(score_B.sum(), list(activations))


@torch.no_grad()
def grad_cam(activations_BKhw: Tensor, gradients_BKhw: Tensor) -> Tensor:
    """``relu(Σ_c mean_hw(g_c) A_c)``: a weight per channel, B × 1 × h × w.

    At the layer below a mean-pooled ``CamHead`` it is the CAM divided by h · w.

    Source: Selvaraju et al. 2017, arXiv:1610.02391, Eq. 1 and 2.
    """
    return _weighted(gradients_BKhw.mean(dim=(2, 3), keepdim=True), activations_BKhw)


@torch.no_grad()
def grad_cam_plus_plus(activations_BKhw: Tensor, gradients_BKhw: Tensor) -> Tensor:
    """Grad-CAM whose mean counts only what raises s, each place by its α: B × 1 × h × w.

    ``α = g² / (2g² + Σ_hw(A) g³)``, 0 where g = 0; the channel's weight is ``Σ_hw relu(g) α``.

    Source: Chattopadhyay et al. 2018, arXiv:1710.11063, Eq. 19 (the score taken as exp(s)).
    """
    squared = gradients_BKhw.square()
    total = activations_BKhw.sum(dim=(2, 3), keepdim=True)
    alpha = squared / (2 * squared + total * squared * gradients_BKhw + _PLUS_PLUS_EPS)
    weights = (gradients_BKhw.relu() * alpha).sum(dim=(2, 3), keepdim=True)  # g = 0 leaves no α
    return _weighted(weights, activations_BKhw)


@torch.no_grad()
def layer_cam(activations_BKhw: Tensor, gradients_BKhw: Tensor) -> Tensor:
    """``relu(Σ_c relu(g_c) A_c)``: a weight per channel and place, so shallow layers are of use too.

    Source: Jiang et al. 2021, *LayerCAM*, IEEE Transactions on Image Processing 30.
    """
    return _weighted(gradients_BKhw.relu(), activations_BKhw)


GRADIENT_MAPS: Mapping[GradientMap, Callable[[Tensor, Tensor], Tensor]] = {
    "grad_cam": grad_cam,
    "grad_cam++": grad_cam_plus_plus,
    "layer_cam": layer_cam,
}


def fuse_layers(maps_BHW: Sequence[Tensor], fusion: Fusion) -> Tensor:
    """One map out of several layers' maps: B × H × W.

    Args:
        maps_BHW: Maps at one size and on one scale; raw maps of two layers differ by orders of magnitude,
            so each is divided by its ``dataset_scale``, or ``minmax``-ed, before.
        fusion: The mean or the maximum over the layers.
    """
    stacked = torch.stack(list(maps_BHW))
    return stacked.mean(dim=0) if fusion == "mean" else stacked.amax(dim=0)


def minmax(map_BHW: Tensor) -> Tensor:
    """Each image's map scaled to [0, 1]; a flat map becomes 0. Any shape with the images first."""
    flat = map_BHW.flatten(1)
    low = flat.amin(dim=1, keepdim=True)
    return ((flat - low) / (flat.amax(dim=1, keepdim=True) - low + _MINMAX_EPS)).reshape(map_BHW.shape)


def dataset_scale(maxima: Sequence[float]) -> float:
    """Divisor of the raw maps of all images, with which a strong defect reaches 1.

    Args:
        maxima: The raw map's maximum of each defective training image.

    Returns:
        Their 99.5th percentile; 1 if they are all 0.
    """
    scale = float(np.percentile(maxima, _PERCENTILE))
    return scale if scale > 0 else 1.0


def _weighted(weights: Tensor, activations_BKhw: Tensor) -> Tensor:
    return (weights * activations_BKhw).sum(dim=1, keepdim=True).relu()
