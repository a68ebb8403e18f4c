"""Probabilities that follow the edges of the image: the CRF, or the guided filter as its cheap opponent.

The guided filter fits, in every window of (2r + 1)² pixels, the probability as a linear function a I + b of
the grey value I, and averages the fits that a pixel lies in:

    a = cov(I, p) / (var(I) + ε),    b = mean(p) − a mean(I),    q = mean(a) I + mean(b)

Where the image varies by less than √ε grey levels it smooths, at stronger edges it keeps the probability's
step. It is no CRF: it has no labels and no distances beyond its window. It costs six box filters.

Source: He, Sun, Tang 2013, doi:10.1109/TPAMI.2012.213 (guided filter); ``refine`` is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.nn.choices import GuidedFilter, Refiner
from trainables.nn.labels.crf import mean_field
from trainables.nn.settings import PseudoLabelConfig

__all__ = ["Guarded", "guarded_refine", "guided_filter", "refine", "sharpen"]


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
