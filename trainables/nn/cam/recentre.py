"""The constant shift of a classifier's maps, found without any label of position, and its removal.

Every pooling is blind to a shift of the map, so image labels do not pin down where the evidence lies: trained
nets were found to put it up to 12 pixels beside the defect, each net by an offset of its own, the same in all
images. Where a defect is, the image also differs from its surroundings. So the offset is the one at which
the maps of the training positives agree best with that difference:

    argmax over (dy, dx) of Σ_images Σ_p  minmax(map)[p − (dy, dx)] · residual[p]²,   residual = |x − blur(x)|

On 11 nets trained on magnetic tiles it agreed with the offset estimated from masks within 2 pixels (once 3).
On blowholes one such move raised pixel AP from 0.002 to 0.33. It is no better than the net: with a weak one
on cracks (image AP 0.75) it was 7 pixels off, and pixel AP rose from 0.009 to 0.053 only.

Source: ours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["REACH", "Offset", "best_offset", "offset_scores", "recentre"]

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
        residual_BHW: ``|x − blur(x)|`` of the same images (``floors.blur_residual``).
        reach: Largest offset in each direction, pixels.

    Returns:
        B × (2 · reach + 1)² sums in float64; the entry [:, reach + dy, reach + dx] is that of (dy, dx). What
        a move leaves without a map counts as 0.
    """
    size = [side + 2 * reach for side in map_BHW.shape[1:]]  # room for every offset: none wraps around
    map_f = torch.fft.rfft2(map_BHW.double(), s=size)
    residual_f = torch.fft.rfft2(residual_BHW.double().square(), s=size)
    scores_BHW = torch.fft.irfft2(residual_f * map_f.conj(), s=size)
    places = torch.arange(-reach, reach + 1, device=scores_BHW.device)
    return scores_BHW[:, places][:, :, places]  # offsets below 0 lie at the end


def best_offset(scores: Tensor) -> Offset:
    """The offset with the largest score; of equal ones the shortest, so flat maps stay where they are."""
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
