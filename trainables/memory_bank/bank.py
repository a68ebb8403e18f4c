"""The bank: descriptions of places, the few of them that are remembered, and distances from these.

A place is a cell of the finest map that is read. It is described by the means of all maps around it, 3 × 3
cells of each, the coarser ones interpolated to where the cell looks.

Source: Roth et al. 2022, arXiv:2106.08265, sections 3.1 to 3.3. Cosine distances and means of the farthest
cells: Damm et al. 2025, arXiv:2405.14529, section 3.
"""

# B images, N cells, M remembered cells, C numbers of a description; h × w cells of the finest map

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.memory_bank.config import MemoryBankConfig
from trainables.nn.layers.blur import gaussian_blur
from trainables.nn.layers.pooling import enlarge_cells
from trainables.nn.layers.trunk import Trunk
from trainables.nn.models import forward_context

__all__ = ["Anomaly", "Bank", "distances", "farthest_points"]

_PAIRS = 2**24  # distances that are held at once: 64 MiB


class Anomaly(NamedTuple):
    """Distances of a batch from normal images, on no particular scale."""

    map_BHW: Tensor  # at pixels
    score_B: Tensor  # float64


class Bank(nn.Module):
    """A trunk and what is remembered of its maps of normal images."""

    def __init__(self, config: MemoryBankConfig, remembered: int) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(config.trunk, max(config.layers)).freeze()
        self.cells_MC = nn.Parameter(torch.zeros(remembered, config.features), requires_grad=False)

    def describe(self, images_BCHW: Tensor) -> Tensor:
        """Descriptions of the cells of images in [0, 1], float32: B × C × h × w."""
        with forward_context(self.config, images_BCHW.device):
            maps = self.trunk(images_BCHW)
        return self.joined(maps)

    def joined(self, maps: Mapping[int, Tensor]) -> Tensor:
        """Descriptions of cells from the trunk's maps by stride."""
        # Each cell stands for its neighbourhood (section 3.1): the mean makes a description robust against
        # a shift by a cell. What lies beyond the border is not counted, or descriptions there would fade.
        finest, *coarser = self.config.strides
        side = self.config.patch

        def local(stride: int) -> Tensor:
            return F.avg_pool2d(maps[stride].float(), side, 1, side // 2, count_include_pad=False)

        first = local(finest)
        size = (first.shape[2], first.shape[3])
        parts = [first]
        for stride in coarser:
            part_BChw = local(stride)
            channels = part_BChw.shape[1]
            # The enlarging knows maps of one channel, so channels pass as images.
            single = part_BChw.reshape(-1, 1, *part_BChw.shape[2:])
            parts.append(enlarge_cells(single, stride // finest, size).reshape(-1, channels, *size))
        described_BChw = torch.cat(parts, dim=1)
        return F.normalize(described_BChw, dim=1) if self.config.distance == "cosine" else described_BChw

    def anomaly(self, images_BCHW: Tensor) -> Anomaly:
        """Distances from the nearest remembered cells, at pixels and of the whole image.

        The score is the largest distance of a cell, or the mean of the largest ones. Weighed (Eq. 7), it
        counts less where what is nearest to that cell is itself far from other remembered cells:
        w = 1 − exp d(x, m*) / Σ exp d(x, m) over the cells m around m*, the nearest one.
        """
        # Distances of every cell from the bank, and of each cell the mean of its nearest.
        described_BChw = self.describe(images_BCHW)
        cells_BNC = described_BChw.flatten(2).transpose(1, 2)
        count = min(self.config.neighbours, len(self.cells_MC))
        away_NK = distances(cells_BNC.flatten(0, 1), self.cells_MC, count)
        if self.config.distance == "cosine":  # of vectors of length 1: half of the square
            away_NK = away_NK.square() / 2
        near_BN = away_NK.mean(1).reshape(cells_BNC.shape[:2])

        # The image's score: its farthest cell, or the mean of the farthest share.
        score_B, place_B = near_BN.max(dim=1)
        if self.config.score_share:
            farthest = max(1, int(self.config.score_share * near_BN.shape[1]))
            score_B = near_BN.topk(farthest, dim=1).values.mean(dim=1)
        score_B = score_B.double()
        if self.config.reweight:
            index_BC = place_B[:, None, None].expand(-1, 1, cells_BNC.shape[2])
            score_B = score_B * self._weight(cells_BNC.gather(1, index_BC)[:, 0])

        # The map: each cell's distance, put where the cell looks, and smoothed as published.
        grid = described_BChw.shape[2:]
        map_B1hw, (stride, *_) = near_BN.reshape(-1, 1, *grid), self.config.strides
        if self.config.sees_patches:  # a cell is a patch, and looks at its middle
            map_BHW = F.interpolate(map_B1hw, self.config.image_size, mode="bilinear")[:, 0]
        else:
            map_BHW = enlarge_cells(map_B1hw, stride, self.config.image_size)
        if self.config.smoothing:
            map_BHW = gaussian_blur(map_BHW[:, None], self.config.smoothing)[:, 0]
        return Anomaly(map_BHW, score_B)

    def _weight(self, cells_BC: Tensor) -> Tensor:
        """w of Eq. 7 for the cell of each image that decides, float64."""
        # The cells around the nearest one are those nearest to *it* in the bank; how far they are from the
        # image's cell is then compared.
        away_BM = _squares(cells_BC, self.cells_MC).sqrt()
        nearest_BC = self.cells_MC[away_BM.argmin(dim=1)]
        around = min(self.config.reweight, len(self.cells_MC))
        places_BK = _squares(nearest_BC, self.cells_MC).topk(around, dim=1, largest=False).indices
        away_BK = away_BM.gather(1, places_BK).double()
        # A quotient of exponentials of distances overflows float32, so it is formed in logarithms and
        # float64.
        return 1 - (away_BM.amin(dim=1).double() - away_BK.logsumexp(dim=1)).exp()


def distances(cells_NC: Tensor, bank_MC: Tensor, count: int) -> Tensor:
    """Distances of each cell from the ``count`` nearest of the bank, nearest first: N × count."""
    step = max(1, _PAIRS // len(bank_MC))
    # Parts have a size of their own in an exported graph: all at once there.
    parts = [cells_NC] if torch.compiler.is_exporting() else cells_NC.split(step)
    nearest = [_squares(part, bank_MC).topk(count, dim=1, largest=False).values for part in parts]
    return torch.cat(nearest).sqrt()


def farthest_points(
    points_ND: Tensor, count: int, first: int, step: Callable[[int], None] = lambda _chosen: None
) -> tuple[list[int], float]:
    """Choose points that cover all: each next one is the farthest from those that were chosen (Algorithm 1).

    Args:
        points_ND: At least one.
        count: Points to choose, 1 to N.
        first: Number of the first.
        step: Called with how many were chosen, after each.

    Returns:
        Numbers of the chosen points in their order, and the largest distance of a point from the nearest of
        them.
    """
    # Only the distance to the nearest chosen point is kept, so a turn costs one product with a vector and
    # no N × N matrix.
    norms_N = points_ND.square().sum(dim=1)
    nearest_N = torch.full_like(norms_N, torch.inf)
    chosen: list[int] = []
    number = first
    for turn in range(count):
        chosen.append(number)
        # |a − b|² = |a|² + |b|² − 2 a·b, of which only the last changes from turn to turn.
        away_N = norms_N + norms_N[number] - 2 * (points_ND @ points_ND[number])
        nearest_N = torch.minimum(nearest_N, away_N)
        nearest_N[number] = -torch.inf  # none twice, also of points that are equal
        number = int(nearest_N.argmax())
        step(turn + 1)
    return chosen, float(nearest_N.amax().clamp_min(0).sqrt())


def _squares(cells_NC: Tensor, bank_MC: Tensor) -> Tensor:
    """Squared distances N × M, as one product of matrices."""
    # Rounding may leave a small negative number for equal cells, whose root would be NaN.
    norms_N1, norms_M = cells_NC.square().sum(dim=1, keepdim=True), bank_MC.square().sum(dim=1)
    return torch.addmm(norms_N1 + norms_M, cells_NC, bank_MC.T, alpha=-2).clamp_min(0)
