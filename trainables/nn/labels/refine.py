"""Probabilities that follow the edges of the image: the CRF, or the guided filter as its cheap opponent.

The guided filter fits, in every window of (2r + 1)² pixels, the probability as a linear function a I + b of
the grey value I, and averages the fits that a pixel lies in:

    a = cov(I, p) / (var(I) + ε),    b = mean(p) − a mean(I),    q = mean(a) I + mean(b)

Where the image varies by less than √ε grey levels it smooths, at stronger edges it keeps the probability's
step. It is no CRF: it has no labels and no distances beyond its window. It costs six box filters.

Source: He, Sun, Tang 2013, doi:10.1109/TPAMI.2012.213 (guided filter); ``refine`` is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from types import EllipsisType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.nn.choices import Crf, GuidedFilter, Refiner
from trainables.nn.settings import PseudoLabelConfig

__all__ = [
    "Guarded",
    "guarded_refine",
    "guided_filter",
    "label_probability",
    "mean_field",
    "refine",
    "sharpen",
]


@torch.no_grad()
def guided_filter(prob_BHW: Tensor, images_BCHW: Tensor, filt: GuidedFilter) -> Tensor:
    """Probabilities after the guided filter, B × H × W, clipped to [0, 1].

    Args:
        prob_BHW: Probabilities before, float32 or float64.
        images_BCHW: The images, 0..255, of which the mean over channels guides.
        filt: Window and ε.
    """
    guide_B1HW = images_BCHW.to(prob_BHW.dtype).mean(dim=1, keepdim=True)
    # Windows see differences only; small numbers keep the variance exact in float32.
    guide_B1HW = (guide_B1HW - guide_B1HW.mean(dim=(2, 3), keepdim=True)) / 255
    prob_B1HW = prob_BHW[:, None]
    mean_guide, mean_prob = _box(guide_B1HW, filt.radius), _box(prob_B1HW, filt.radius)
    variance = _box(guide_B1HW.square(), filt.radius) - mean_guide.square()
    covariance = _box(guide_B1HW * prob_B1HW, filt.radius) - mean_guide * mean_prob
    # The linear fit of each window, then the mean of the fits that a pixel lies in.
    slope = covariance / (variance.clamp_min(0) + (filt.s_rgb / 255) ** 2)
    level = mean_prob - slope * mean_guide
    return (_box(slope, filt.radius) * guide_B1HW + _box(level, filt.radius))[:, 0].clamp(0, 1)


def sharpen(prob_BHW: Tensor, images_BCHW: Tensor, refiner: Refiner) -> Tensor:
    """Probabilities after ``refiner``, in [0, 1], B × H × W, or M × B × H × W as given; images in 0..255."""
    if isinstance(refiner, GuidedFilter):
        if prob_BHW.ndim == 4:
            return torch.stack([guided_filter(one_BHW, images_BCHW, refiner) for one_BHW in prob_BHW])
        return guided_filter(prob_BHW, images_BCHW, refiner)
    return mean_field(prob_BHW, images_BCHW, refiner)


def refine(prob_BHW: Tensor, images_BCHW: Tensor, refiner: Refiner) -> Tensor:
    """:func:`sharpen` that leaves an image as it was where nothing of its foreground would remain.

    A label says that there is a defect: an empty mask cannot be right.
    """
    after_BHW = sharpen(prob_BHW, images_BCHW, refiner)
    found_B, left_B = ((prob > 0.5).any(dim=2).any(dim=1) for prob in (prob_BHW, after_BHW))
    return torch.where((found_B & ~left_B)[:, None, None], prob_BHW, after_BHW)


class Guarded(NamedTuple):
    """Probabilities after the CRF; those before it, where it is left out."""

    prob_NHW: Tensor
    used: bool
    area: float  # share of defect pixels before
    area_after: float


def guarded_refine(
    prob_NHW: Tensor,
    batches: Iterable[Tensor],
    config: PseudoLabelConfig,
    *,
    is_defect: Callable[[Tensor, float], Tensor] = torch.ge,
) -> Guarded:
    """:func:`refine` for training images, unless it leaves less than ``crf_guard`` of their area.

    Args:
        prob_NHW: Probabilities before, on the CPU.
        batches: The images in [0, 1], in order, on the device that works.
        config: With the CRF and its guard.
        is_defect: Compares a probability with 0.5; ``torch.gt`` where pixels left open have that one.
    """
    parts: list[Tensor] = []
    # Batch by batch on the device; the areas before and after are compared over all of them, since one
    # small defect may vanish rightly.
    for images_BCHW in batches:
        start = sum(map(len, parts))
        prob_BHW = prob_NHW[start : start + len(images_BCHW)].to(images_BCHW.device)
        parts.append(refine(prob_BHW, images_BCHW * 255, config.refiner).cpu())
    sharp_NHW = torch.cat(parts)
    before, after = (float(is_defect(each, 0.5).double().mean()) for each in (prob_NHW, sharp_NHW))
    used = after >= config.crf_guard * before
    return Guarded(sharp_NHW if used else prob_NHW, used, before, after)


def _box(x_B1HW: Tensor, radius: int) -> Tensor:
    """Means of windows; at the border of what lies inside."""
    return F.avg_pool2d(x_B1HW, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)


# The conditional random field ---------------------------------------------------------------------
# A fully connected conditional random field in a window: labels that follow the edges of the image.
#
# Two classes, Potts, mean field, in logits. With unary logits u and m = 2Q − 1, repeat T times
#
#     Q_p ← sigmoid(u_p + Σ_q k_pq m_q),      q ≠ p on a (2r + 1)² grid of spacing ``dilation`` around p,
#     k_pq = w_xy n_p n_q exp(−d² / 2 s_xy²) + w_rgb n'_p n'_q exp(−d² / 2 s_far² − |I_p − I_q|² / 2 s_rgb²)
#
# where each n = 1 / √(Σ_q of its own kernel), so that a pixel at the border or in a busy place is worth as
# much as any other. The image has three channels of 0..255; a grey one counts as three equal channels, so
# its colour distance triples.
#
# Where the window covers the image this is the dense CRF exactly (a test compares it with all pairs of
# pixels). k is symmetric: half of the offsets are computed, and each serves both directions. They are kept
# for all T steps: (2r + 1)² / 2 maps per image, 60 at r = 5, 170 MB for 512 × 1408 in float32.
#
# It shrinks what it gets. In our trials it ate cracks in nearly every setting, while compact defects with
# loose labels gained much (blowholes: IoU 0.32 to 0.56). Look at the areas before and after.
#
# Source: Krähenbühl and Koltun 2011, arXiv:1210.5644 (model, mean field; the symmetric normalisation is
# that of their code); Teichmann and Cipolla 2018, arXiv:1805.04777 (the window). Default weights after
# jiwoon-ahn/irn, ``s_rgb`` measured on grey steel.


_EPS = 1e-6  # probabilities are clipped this far from 0 and 1
_PIXELS_PER_PASS = 4 * 128 * 128  # on a CPU: caches hold their pairs, and few images wait for others


def label_probability(label_BHW: Tensor, confidence: float) -> Tensor:
    """Probabilities of hard labels: 1 has ``confidence``, 0 its complement, 255 (unknown) one half."""
    prob_BHW = torch.where(label_BHW == 1, confidence, 1 - confidence)
    return prob_BHW.masked_fill(label_BHW == 255, 0.5)


@torch.no_grad()
def mean_field(prob_BHW: Tensor, images_BCHW: Tensor, crf: Crf) -> Tensor:
    """Probabilities of the foreground after ``crf.steps`` mean-field updates, shaped as before, in [0, 1].

    Args:
        prob_BHW: Probabilities before, float32 or float64, which is also the arithmetic. M × B × H × W are M
            probabilities of the same images, for which the pairwise terms are computed once.
        images_BCHW: The images, 0..255, C 1 or 3.
        crf: Weights and window.
    """
    if torch.compiler.is_exporting() or prob_BHW.device.type != "cpu":
        return _iterated(prob_BHW, images_BCHW, crf)
    # Images are independent, so a CPU takes as many together as its caches hold.
    count = max(1, _PIXELS_PER_PASS // images_BCHW[0, 0].numel())
    parts = zip(prob_BHW.split(count, dim=-3), images_BCHW.split(count), strict=True)
    return torch.cat([_iterated(prob, images, crf) for prob, images in parts], dim=-3)


def _iterated(prob_BHW: Tensor, images_BCHW: Tensor, crf: Crf) -> Tensor:
    unary_BHW = torch.logit(prob_BHW, eps=_EPS)
    pairs = _pair_weights(images_BCHW.to(prob_BHW.dtype), crf)
    logits_BHW, spin_BHW = unary_BHW, torch.tanh(unary_BHW / 2)  # 2Q − 1
    for _ in range(crf.steps):
        logits_BHW = unary_BHW.clone()
        # Each pair's weight serves both directions.
        for weight, (here, there) in pairs:
            logits_BHW[here].addcmul_(weight, spin_BHW[there])
            logits_BHW[there].addcmul_(weight, spin_BHW[here])
        before_BHW, spin_BHW = spin_BHW, torch.tanh(logits_BHW / 2)
        if _may_look(spin_BHW) and torch.equal(spin_BHW, before_BHW):
            break  # a fixed point, as most images without a defect soon are: no step would change it
    return torch.sigmoid(logits_BHW)


def _may_look(values: Tensor) -> bool:
    """Say if Python may decide by values: on a GPU it would wait for them, and a graph has none."""
    return values.device.type == "cpu" and not torch.compiler.is_exporting()


_Window = tuple[EllipsisType, slice, slice]  # of … × H × W


def _pair_weights(images_BCHW: Tensor, crf: Crf) -> list[tuple[Tensor, tuple[_Window, _Window]]]:
    """k of every pair whose offset is in half of the window, with the places of both pixels."""
    channels, height, width = images_BCHW.shape[1:]
    offsets = [(y, x) for y, x in crf.offsets() if y < height and abs(x) < width]
    scaled_BCHW = images_BCHW * math.sqrt(3 / (2 * channels)) / crf.s_rgb
    # First walk over the offsets: both kernels and their sums at each pixel. Colour enters as a squared
    # distance that counts three channels, however many there are.
    far = images_BCHW.new_zeros(images_BCHW.shape[0], height, width)  # Σ_q of the kernels
    near = images_BCHW.new_zeros(1, height, width)
    pairs: list[tuple[Tensor, tuple[_Window, _Window]]] = []
    nearness: list[float] = []
    for y, x in offsets:
        here, there = windows = _windows(y, x)
        squares = (scaled_BCHW[here] - scaled_BCHW[there]).square_()
        colour = squares[:, 0] if channels == 1 else squares.sum(dim=1)
        alike = torch.rsub(colour, -(y * y + x * x) / (2 * crf.s_far**2)).exp_()
        pairs.append((alike, windows))
        gauss = math.exp(-(y * y + x * x) / (2 * crf.s_xy**2))
        nearness.append(gauss)
        for window in windows:
            far[window] += alike
            near[window] += gauss

    # Second walk: with the sums known each kernel is normalised symmetrically, and the two are added into
    # one weight.
    tiny = torch.finfo(far.dtype).tiny  # a pixel without any neighbour, or unlike all of them
    far = far.clamp_(min=tiny).rsqrt_().mul_(math.sqrt(crf.w_rgb))
    near = near.clamp_(min=tiny).rsqrt_()
    for (alike, (here, there)), gauss in zip(pairs, nearness, strict=True):
        alike.mul_(far[here]).mul_(far[there])
        alike.add_(near[here] * near[there], alpha=crf.w_xy * gauss)
    return pairs


def _windows(y: int, x: int) -> tuple[_Window, _Window]:
    """Places of pairs of pixels at an offset (y ≥ 0): the first pixel of each, and the second."""
    up, down = slice(None, -y or None), slice(y, None)
    left, right = slice(None, -abs(x) or None), slice(abs(x), None)
    here, there = (left, right) if x >= 0 else (right, left)
    return (..., up, here), (..., down, there)
