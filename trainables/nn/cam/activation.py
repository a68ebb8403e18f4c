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
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from trainables.nn.choices import Fusion, Pool
from trainables.nn.layers.blur import gaussian_blur
from trainables.nn.layers.pooling import pool_map

__all__ = [
    "GRADIENT_MAPS",
    "REACH",
    "CamHead",
    "GradientMap",
    "Offset",
    "best_offset",
    "blur_residual",
    "centre_prior",
    "dataset_scale",
    "fuse_layers",
    "grad_cam",
    "grad_cam_plus_plus",
    "layer_cam",
    "map_times_residual",
    "minmax",
    "offset_scores",
    "random_maps",
    "recentre",
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


# Recentring ---------------------------------------------------------------------------------------
# The constant shift of a classifier's maps, found without any label of position, and its removal.
#
# Every pooling is blind to a shift of the map, so image labels do not pin down where the evidence lies:
# trained nets were found to put it up to 12 pixels beside the defect, each net by an offset of its own, the
# same in all images. Where a defect is, the image also differs from its surroundings. So the offset is the
# one at which the maps of the training positives agree best with that difference:
#
#     argmax over (dy, dx) of Σ_images Σ_p  minmax(map)[p − (dy, dx)] · residual[p]²,
#     residual = |x − blur(x)|
#
# On 11 nets trained on magnetic tiles it agreed with the offset estimated from masks within 2 pixels (once
# 3). On blowholes one such move raised pixel AP from 0.002 to 0.33. It is no better than the net: with a
# weak one on cracks (image AP 0.75) it was 7 pixels off, and pixel AP rose from 0.009 to 0.053 only.
#
# Source: ours.


REACH = 12  # pixels: the largest offset that was seen, at 224 × 224
_TIE = 1e-9  # relative: sums closer than this are equal but for rounding


class Offset(NamedTuple):
    """A move of all maps, and how well they agreed before."""

    dy: int  # pixels, downwards
    dx: int  # pixels, to the right
    unmoved: float  # agreement with the residual at (0, 0) as a share of that after the move: 1 gains nothing


def offset_scores(map_BHW: Tensor, residual_BHW: Tensor, reach: int = REACH) -> Tensor:
    """Agreement of each map with its residual at every offset; the scores of images add up.

    Args:
        map_BHW: Maps of defective images at pixels, each scaled to [0, 1] (``cam.minmax``).
        residual_BHW: ``|x − blur(x)|`` of the same images (``blur_residual``).
        reach: Largest offset in each direction, pixels.

    Returns:
        B × (2 · reach + 1)² sums in float64; the entry [:, reach + dy, reach + dx] is that of (dy, dx). What
        a move leaves without a map counts as 0.
    """
    # A correlation over all offsets at once: a product of spectra instead of (2 · reach + 1)² shifted sums.
    size = [side + 2 * reach for side in map_BHW.shape[1:]]  # room for every offset: none wraps around
    map_f = torch.fft.rfft2(map_BHW.double(), s=size)
    residual_f = torch.fft.rfft2(residual_BHW.double().square(), s=size)
    scores_BHW = torch.fft.irfft2(residual_f * map_f.conj(), s=size)
    places = torch.arange(-reach, reach + 1, device=scores_BHW.device)
    return scores_BHW[:, places][:, :, places]  # offsets below 0 lie at the end


def best_offset(scores: Tensor) -> Offset:
    """The offset with the largest score; of equal ones the shortest, so flat maps stay where they are."""
    # Among offsets that tie but for rounding the shortest is taken.
    reach = scores.shape[0] // 2
    places = torch.arange(-reach, reach + 1, device=scores.device)
    length = places[:, None].square() + places.square()
    top = scores.max()
    near = torch.where(scores >= top - _TIE * top.abs(), length, length.max() + 1)
    row, column = divmod(int(near.argmin()), 2 * reach + 1)
    unmoved = float(scores[reach, reach] / top) if top > 0 else 1.0
    return Offset(row - reach, column - reach, unmoved)


def recentre(map_BHW: Tensor, dy: int | Tensor, dx: int | Tensor) -> Tensor:
    """Maps moved down by ``dy`` and right by ``dx`` pixels; what comes in from outside is the border's value.

    Repeating the border keeps a defect at the edge whose evidence lay beyond it; zeros would lose it for
    certain.
    """
    height, width = map_BHW.shape[1:]
    rows = (torch.arange(height, device=map_BHW.device) - dy).clamp(0, height - 1)
    columns = (torch.arange(width, device=map_BHW.device) - dx).clamp(0, width - 1)
    return map_BHW[:, rows][:, :, columns]


# Baseline maps ------------------------------------------------------------------------------------------
# Baseline maps: those that any weakly supervised method must beat to have learned something.
#
# Each is a plain function: three maps that no training makes, and a trained map times a residual that
# needs none (the fair opponent of everything that sharpens a map).
#
# On blowholes in magnetic tiles, stretched to 224 × 224, the maps reach a pixel AP of 0.001 (random), 0.005
# (centre prior) and 0.01 to 0.02 (blur residual).


_SIGMA = 15.0  # pixels: 5 would find thin defects better, 15 finds compact ones
_CENTRE_WIDTH = 0.25  # standard deviation, as a share of the side


def random_maps(count: int, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """Every pixel by chance, ``count`` × H × W in [0, 1): its pixel AP is the share of defect pixels."""
    return torch.from_numpy(rng.random((count, *size), dtype=np.float32))


def centre_prior(count: int, size: tuple[int, int]) -> Tensor:
    """One Gaussian in the middle, as photographs centre what they show: ``count`` × H × W, in (0, 1]."""
    rows, columns = (torch.linspace(-0.5, 0.5, side) / _CENTRE_WIDTH for side in size)
    prior_HW = torch.exp(-(rows[:, None].square() + columns.square()) / 2)
    return prior_HW.expand(count, *size)


def blur_residual(images_BCHW: Tensor) -> Tensor:
    """``|x − G_σ ∗ x|``, averaged over channels: B × H × W, in [0, 1] for images in [0, 1]."""
    return (images_BCHW - gaussian_blur(images_BCHW, _SIGMA)).abs().mean(dim=1)


def map_times_residual(map_BHW: Tensor, residual_BHW: Tensor) -> Tensor:
    """``√(map · residual)``: where a map points and the image differs from its surroundings, B × H × W.

    It needs no inpainting. Pixel AP of blowholes rose from 0.28 (CAM) to 0.42, of cracks from 0.16 to 0.24.
    """
    return (map_BHW * residual_BHW).sqrt()
