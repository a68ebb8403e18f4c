"""Patches of images: those that train, and those that a whole image is scored by.

Training draws from a pool of fixed random places, 500 in each normal image as published. Scoring walks over
the image in steps of a stride (:class:`PatchGrid`): windows are views of the image until a few rows of them
are looked at together, so memory does not grow with the image.

Source: Božič et al. 2021, arXiv:2104.06064 (64 × 64 patches, 500 per image; one at every pixel).
"""

# B images, H × W pixels; N patches of P × P pixels; h × w places of a grid

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainables.data.samples import ImageSet
from trainables.data.tensors import bytes_to_images
from trainables.nn.batches.on_device import DeviceRows
from trainables.nn.layers.pooling import enlarge_cells
from trainables.unsupervised.config import Placing

__all__ = ["PatchGrid", "PatchPool"]


class PatchPool:
    """Fixed random places in each of some images: the patches that a training draws from."""

    def __init__(
        self, images: ImageSet, side: int, per_image: int, rng: np.random.Generator, device: torch.device
    ) -> None:
        """``side``: of a patch, pixels; no larger than the images, of which there is at least one."""
        height, width = images[0].image.shape[:2]
        high = (height - side + 1, width - side + 1)
        self._places = rng.integers(0, high, (len(images) * per_image, 2))
        self._side, self._per_image = side, per_image
        self._images = DeviceRows(lambda i: images[i].image, len(images), device)

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Numbers of ``count`` patches, each of the whole pool alike."""
        return rng.integers(len(self._places), size=count)

    def cut(self, numbers: Sequence[int]) -> Tensor:
        """The patches of those numbers: N × C × P × P in [0, 1]."""
        corners = self._places[numbers].tolist()
        parts = [(slice(top, top + self._side), slice(left, left + self._side)) for top, left in corners]
        return bytes_to_images(self._images.batch([n // self._per_image for n in numbers], parts))


class PatchGrid:
    """Patches of an image in steps of a stride, and what becomes of their scores.

    ``centre``: place (i, j) looks at the patch around pixel (stride · i, stride · j), beyond the border at a
    mirrored image. ``overlap``: patches lie in the image from its first pixel on (the last ones reach over a
    mirrored border), and cover all of it.
    """

    def __init__(self, size: tuple[int, int], patch: int, stride: int, placing: Placing) -> None:
        """``size``: height and width of the images, each at least ``patch``; ``stride`` at most ``patch``."""
        self.size, self.patch, self.stride, self.placing = size, patch, stride, placing
        # Around pixels, every stride has its place; lying in the image, the last patch may start where it
        # still covers the border.
        self._before = patch // 2 if placing == "centre" else 0
        reach = 0 if placing == "centre" else patch - stride
        self.rows, self.columns = (max(1, -(-(side - reach) // stride)) for side in size)

    def windows(self, images_BCHW: Tensor) -> Tensor:
        """All patches, B × C × h × w × P × P, as a view of the (mirrored) images."""
        # Only as much is mirrored as the last patches reach over.
        after = [
            (places - 1) * self.stride + self.patch - self._before - side
            for places, side in zip((self.rows, self.columns), self.size, strict=True)
        ]
        padding = (self._before, max(0, after[1]), self._before, max(0, after[0]))
        padded_BCHW = F.pad(images_BCHW, padding, mode="reflect")
        windows = padded_BCHW.unfold(2, self.patch, self.stride).unfold(3, self.patch, self.stride)
        return windows[:, :, : self.rows, : self.columns]

    def spread(self, scores_Bhw: Tensor) -> Tensor:
        """From a score per patch to one per pixel, B × H × W."""
        if self.placing == "centre":
            return enlarge_cells(scores_Bhw[:, None], self.stride, self.size)
        # Equal shares of the covering patches, down and across: the mean over patches is a product with one
        # matrix for each direction.
        weights_Hh, weights_Ww = (
            self._covering(side, places).to(scores_Bhw)
            for side, places in zip(self.size, (self.rows, self.columns), strict=True)
        )
        return weights_Hh @ scores_Bhw @ weights_Ww.T

    def _covering(self, side: int, places: int) -> Tensor:
        """Weight of each place at each pixel of one axis: equal among the patches that cover it."""
        offset = torch.arange(side)[:, None] - self.stride * torch.arange(places)
        covers = ((offset >= 0) & (offset < self.patch)).float()
        return covers / covers.sum(dim=1, keepdim=True)

    def assemble(self, windows_BChwPP: Tensor) -> Tensor:
        """Images B × C × H × W of overlapping patches: each pixel the mean of those that cover it."""
        assert self.placing == "overlap", "patches around pixels reach over the border"
        batch, channels = windows_BChwPP.shape[:2]
        covered = tuple((places - 1) * self.stride + self.patch for places in (self.rows, self.columns))
        # Sums of the overlapping patches over their counts.
        columns = windows_BChwPP.permute(0, 1, 4, 5, 2, 3).reshape(batch, channels * self.patch**2, -1)
        sums = F.fold(columns, covered, self.patch, stride=self.stride)
        counts = F.fold(torch.ones_like(columns[:1]), covered, self.patch, stride=self.stride)
        return (sums / counts)[:, :, : self.size[0], : self.size[1]]
