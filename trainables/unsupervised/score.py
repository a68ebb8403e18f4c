"""From a map of anomaly to one number per image, and from any scale to [0, 1].

The map of normal images has no natural end, and one of a strong defect may be a thousand times theirs. So
both numbers are brought to [0, 1] by a smooth, strictly rising map with a long tail instead of a cut: what is
larger stays larger, 0.5 is what few normal images reach, and ranks are those of the paper's score.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ImageScore", "Saturation", "image_score", "measure_scales", "saturated"]

_LEAST = 0.1  # that is divided by
_FLAT = 1e-6  # smallest spread, relative
# Where maps and scores are 0.5, which decides where validation cannot: what a pixel in a thousand and one in
# twenty of the held-out normal images exceed.
_PIXEL_QUANTILE, _IMAGE_QUANTILE = 0.999, 0.95
_PIXELS = 4096  # of each held-out image, evenly spread, of which quantiles are taken


class ImageScore(NamedTuple):
    """Scores of B images."""

    score_B: Tensor  # float64, on no particular scale
    clamped_B: Tensor  # bool: whether 1 + mean was less than 0.1


def image_score(map_BHW: Tensor, pool: int, *, normalised: bool) -> ImageScore:
    """``max(mean filter of the map) / (1 + mean of the map)``.

    The published maps are measured in standard deviations of normal images, so a mean below −1 is possible
    and the denominator may vanish or turn negative: it is at least 0.1 here (our guard), and such images are
    marked.

    Args:
        map_BHW: Anomaly per pixel; sides are at least ``pool``.
        pool: Side of the mean filter, pixels (published: 21); it stays within the map.
        normalised: False: the maximum alone, whatever the rest of the image is like.

    Source: Božič et al. 2021, arXiv:2104.06064.
    """
    # A mean filter first, so a single noisy pixel cannot be the image's score.
    pooled = F.avg_pool2d(map_BHW[:, None], pool, stride=1)
    highest_B = pooled.amax(dim=(1, 2, 3)).double()
    surround_B = 1 + map_BHW.mean(dim=(1, 2)).double()
    clamped_B = surround_B < _LEAST
    if not normalised:
        return ImageScore(highest_B, torch.zeros_like(clamped_B))
    return ImageScore(highest_B / surround_B.clamp_min(_LEAST), clamped_B)


def saturated(z: Tensor) -> Tensor:
    """``½ + ½ · z / (1 + |z|)``: strictly rising, from 0 to 1."""
    return (z / (1 + z.abs()) + 1) / 2


class Saturation(nn.Module):
    """:func:`saturated` of ``(x − centre) / scale``, with both measured on normal images."""

    centre: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros((), dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    def measure(self, values_N: Tensor, quantile: float) -> None:
        """Put 0.5 at a quantile of what normal images have, and the median at 0.25."""
        # A rank and no interpolation: the same number on every device. Where normal images are all alike
        # the spread is kept above 0.
        ranked = values_N.double().sort().values
        high, middle = (ranked[round(q * (len(ranked) - 1))] for q in (quantile, 0.5))
        self.centre.copy_(high)
        self.scale.copy_((high - middle).clamp_min(_FLAT * high.abs().clamp_min(1)))

    def forward(self, x: Tensor) -> Tensor:
        return saturated((x - self.centre.to(x.dtype)) / self.scale.to(x.dtype))


def measure_scales(
    map_scale: Saturation, score_scale: Saturation, anomalies: Iterable[tuple[Tensor, Tensor]]
) -> None:
    """Take both scales from held-out normal images: batches of maps B × H × W and scores B."""
    pixels: list[Tensor] = []
    scores: list[Tensor] = []
    for map_BHW, score_B in anomalies:
        # Some thousand pixels of each image suffice for a quantile, and all of them would not fit into
        # memory.
        flat = map_BHW.flatten(1)
        pixels.append(flat[:, :: max(1, flat.shape[1] // _PIXELS)].flatten())
        scores.append(score_B)
    map_scale.measure(torch.cat(pixels), _PIXEL_QUANTILE)
    score_scale.measure(torch.cat(scores), _IMAGE_QUANTILE)
