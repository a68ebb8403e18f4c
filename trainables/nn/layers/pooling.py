"""Maps made smaller: to their largest numbers, to one number per image; and cells made pixels."""

# B images, C channels, h × w cells, H × W pixels

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.nn.choices import Pool

__all__ = ["Halve", "dilate", "enlarge_cells", "halve", "pool_map"]


class Halve(nn.Module):
    """``nn.MaxPool2d(2)``, as :func:`halve` does it."""

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        return halve(maps_BCHW)


def halve(maps_BCHW: Tensor) -> Tensor:
    """Keep the largest of each 2 × 2 pixels, as ``nn.MaxPool2d(2)`` does; an odd last row or column is gone.

    Without gradient on a CPU it is the larger of two rows and then of two columns: torch's own pooling, which
    notes where the largest is, takes up to thirteen times as long, most where maps lie plane by plane.
    """
    differentiated = torch.is_grad_enabled() and maps_BCHW.requires_grad
    if differentiated or maps_BCHW.device.type != "cpu" or torch.compiler.is_exporting():
        return F.max_pool2d(maps_BCHW, 2)
    height, width = (2 * (side // 2) for side in maps_BCHW.shape[2:])
    rows_BChW = torch.maximum(maps_BCHW[:, :, 0:height:2], maps_BCHW[:, :, 1:height:2])
    return torch.maximum(rows_BChW[..., 0:width:2], rows_BChW[..., 1:width:2])


def pool_map(map_B1hw: Tensor, pool: Pool, *, top_share: float, lse_r: float) -> Tensor:
    """One number per image.

    Args:
        map_B1hw: Any map.
        pool: ``gap`` mean; ``gmp`` maximum; ``topk`` mean of the largest ``top_share`` of the cells, at
            least one; ``lse`` the smooth maximum ``(1/r) · log mean exp(r · map)``.
        top_share: In (0, 1], for ``topk``.
        lse_r: r > 0, for ``lse``: towards 0 the mean, towards infinity the maximum.

    Returns:
        B numbers.

    Source: Zhou et al. 2016 (gap), Oquab et al. 2015 (gmp), Pinheiro and Collobert 2015 (lse).
    """
    flat_BN = map_B1hw.flatten(1)
    if pool == "gap":
        return flat_BN.mean(dim=1)
    if pool == "gmp":
        return flat_BN.amax(dim=1)
    if pool == "topk":
        return flat_BN.topk(max(1, round(top_share * flat_BN.shape[1])), dim=1).values.mean(dim=1)
    return (torch.logsumexp(lse_r * flat_BN, dim=1) - math.log(flat_BN.shape[1])) / lse_r


def enlarge_cells(map_B1hw: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """Bring a map to ``size`` (H, W) with cell i at pixel ``stride`` · i, bilinearly: B × H × W.

    A convolution of odd side, stride 2 and 'same' padding is centred on every second pixel from 0, so after
    several of them cell i looks at pixel stride · i. A plain resize would put it (stride − 1) / 2 further.
    """
    # With one cell more, and corners aligned on stride · cells + 1 pixels, cell i falls on pixel stride · i
    # exactly.
    padded = F.pad(map_B1hw, (0, 1, 0, 1), mode="replicate")
    height, width = (stride * cells for cells in map_B1hw.shape[2:])
    large = F.interpolate(padded, size=(height + 1, width + 1), mode="bilinear", align_corners=True)
    return large[:, 0, : size[0], : size[1]].contiguous()


def dilate(mask_BHW: Tensor, radius: int) -> Tensor:
    """A mask (bool) grown by ``radius`` pixels in each direction, corners included; 0 leaves it as it is."""
    grown_B1HW = mask_BHW[:, None].float()
    for reach in ((radius, 0), (0, radius)):  # down and across: a square is a column of rows
        side = (2 * reach[0] + 1, 2 * reach[1] + 1)
        grown_B1HW = F.max_pool2d(grown_B1HW, side, stride=1, padding=reach)
    return grown_B1HW[:, 0] > 0
