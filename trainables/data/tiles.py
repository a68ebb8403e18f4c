"""Large images in tiles: where tiles lie, how images are cut and how what is said of tiles is put together.

A line-scan picture of 16,000 pixels would lose its defects at a network's input size. With ``data.tiles`` it
is brought to the scale at which one tile fills the network's input, and cut there. In training a tile is a
sample. In the evaluation and in production an image is an image: a model is asked for its tiles, and the
heatmap is put together from their inner parts. Neighbours meet in the middle of what they share, so that
half the overlap of each is cut off: where a network sees no further than that, nothing tells tiles from the
whole image.

Trade-off: cut, not blended. A blend hides seams of networks that see further, at the price of heatmaps that
no network gave. The image's score is the greatest of its tiles: one defect makes an image defective.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.data.files.sources import resize_image
from trainables.data.spec import Tiles

__all__ = ["Place", "TileShape", "image_of", "tile_id"]


class Place(NamedTuple):
    """One tile on its image, in pixels of the network's scale."""

    row: int
    column: int
    window: tuple[slice, slice]  # all of it
    core: tuple[slice, slice]  # the part of the image that is its own
    inner: tuple[slice, slice]  # the same part, counted from the tile's corner


@dataclass(frozen=True)
class TileShape:
    """Tiles at the scale of a network: a tile is as large as the network's input."""

    tiles: Tiles
    height: int  # of the network's input, pixels
    width: int

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """Height and width, at the network's scale, of an image or a part of it as stored."""
        return (
            max(1, round(height * self.height / self.tiles.height)),
            max(1, round(width * self.width / self.tiles.width)),
        )

    def places(self, size: tuple[int, int]) -> Iterator[Place]:
        """The tiles of an image of ``size`` at the network's scale, row by row; the last end at its edge."""
        overlap = self.tiles.overlap
        rows = _spans(size[0], self.height, round(overlap * self.height / self.tiles.height))
        columns = _spans(size[1], self.width, round(overlap * self.width / self.tiles.width))
        for row, (window_y, core_y, inner_y) in enumerate(rows):
            for column, (window_x, core_x, inner_x) in enumerate(columns):
                windows, cores = (window_y, window_x), (core_y, core_x)
                yield Place(row, column, windows, cores, (inner_y, inner_x))

    def count(self, height: int, width: int) -> int:
        """Number of tiles of an image of this size as stored."""
        return sum(1 for _ in self.places(self.scaled(height, width)))

    def shrink(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A stored image (H × W × C) at the network's scale."""
        size = self.scaled(*image.shape[:2])
        return image if size == image.shape[:2] else resize_image(image, size)

    def filled(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``image`` (H × W or H × W × C), mirrored at its lower and right edge where it is below a tile."""
        missing = (max(0, self.height - image.shape[0]), max(0, self.width - image.shape[1]))
        if not any(missing):
            return image
        around = [(0, side) for side in missing] + [(0, 0)] * (image.ndim - 2)
        return np.pad(image, around, mode="symmetric")

    def cut(self, image: NDArray[np.uint8]) -> Iterator[tuple[Place, NDArray[np.uint8]]]:
        """The tiles of an image at the network's scale, as views where it is no smaller than a tile."""
        whole = self.filled(image)
        return ((place, whole[place.window]) for place in self.places((image.shape[0], image.shape[1])))

    def mask_of(self, place: Place, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part of a mask (h × w, as stored) that a tile shows, at the tile's stored size."""
        tiles = self.tiles
        # Masks stay at their stored size, so the tile's place is brought back to it.
        top = round(place.window[0].start * tiles.height / self.height)
        left = round(place.window[1].start * tiles.width / self.width)
        # A scale that is no whole number may round the last tile past the edge.
        top = max(0, min(top, mask.shape[0] - tiles.height))
        left = max(0, min(left, mask.shape[1] - tiles.width))
        part = mask[top : top + tiles.height, left : left + tiles.width]
        missing = (tiles.height - part.shape[0], tiles.width - part.shape[1])
        return np.pad(part, [(0, side) for side in missing], mode="symmetric") if any(missing) else part


def tile_id(sample: str, row: int, column: int) -> str:
    """Id of a tile among samples; the first one of an image is (0, 0)."""
    return f"{sample}@{row},{column}"


def image_of(tile: str) -> str:
    """Id of the image that the tile with this id is cut from."""
    return tile.rpartition("@")[0]


def _spans(length: int, tile: int, overlap: int) -> list[tuple[slice, slice, slice]]:
    """Window, core, and core within the window of each tile along one axis."""
    # The last tile ends at the edge and overlaps more than the others, instead of reaching beyond it.
    starts = [*range(0, length - tile, tile - overlap), max(0, length - tile)]
    # Neighbours meet in the middle of what they share.
    borders = [0, *((before + after + tile) // 2 for before, after in pairwise(starts)), length]
    return [
        (slice(start, start + tile), slice(low, high), slice(low - start, high - start))
        for start, (low, high) in zip(starts, pairwise(borders), strict=True)
    ]
