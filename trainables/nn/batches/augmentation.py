"""Random views of a training image: flips, gain and offset, drawn for a whole epoch at once.

The draws of an epoch are a table with a row per training image, so an image is seen the same way whatever
batch or worker it falls to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.nn.batches.on_device import TrainingImages, sent
from trainables.nn.batches.sampling import Generators
from trainables.nn.choices import Flips

__all__ = ["Augmentation", "drawn_views"]


@dataclass(frozen=True, eq=False)
class Augmentation:
    """The view of each training image in one epoch."""

    mirrored: NDArray[np.bool_]  # N: left and right exchanged
    overturned: NDArray[np.bool_]  # N: top and bottom exchanged
    gain: NDArray[np.float32]  # N
    offset: NDArray[np.float32]  # N, in units of the grey range

    @classmethod
    def draw(cls, count: int, flips: Flips, photometric: float, rng: np.random.Generator) -> Augmentation:
        """Augmentation of ``count`` images; gain in 1 ± ``photometric``, offset in ± ``photometric``."""
        # All four are always drawn: a setting that is off leaves the random numbers of the others alone.
        mirrored, overturned = rng.random((2, count)) < 0.5
        gain, offset = photometric * rng.uniform(-1, 1, (2, count))
        return cls(
            mirrored & (flips in {"horizontal", "both"}),
            overturned & (flips in {"vertical", "both"}),
            (1 + gain).astype(np.float32),
            offset.astype(np.float32),
        )

    def show(self, images: TrainingImages, positions: Sequence[int]) -> Tensor:
        """Images at ``positions`` as they are seen, B × C × H × W on their device."""
        return self.flip(self.expose(images.batch(positions), positions), positions)

    def expose(self, images_BCHW: Tensor, positions: Sequence[int]) -> Tensor:
        """Gain and offset of images in [0, 1]; the result is not clipped, so no texture is lost."""
        # Both rows travel together: one copy to the device instead of two.
        table = np.stack((self.gain[positions], self.offset[positions]))
        gain_B111, offset_B111 = sent(torch.from_numpy(table), images_BCHW.device).reshape(2, -1, 1, 1, 1)
        return images_BCHW * gain_B111 + offset_B111

    def flip(self, maps_BCHW: Tensor, positions: Sequence[int]) -> Tensor:
        """Images or masks, flipped."""
        for axis, chosen in ((3, self.mirrored), (2, self.overturned)):
            which = sent(torch.from_numpy(chosen[positions]), maps_BCHW.device).reshape(-1, 1, 1, 1)
            maps_BCHW = torch.where(which, maps_BCHW.flip(axis), maps_BCHW)
        return maps_BCHW


def drawn_views(
    count: int, flips: Flips, photometric: float, generator: Generators
) -> Callable[[int], Augmentation]:
    """The views of ``count`` images in a given epoch; those of the latest epoch are kept.

    Random numbers are those of purpose ``augment`` (``Run.generator``).
    """

    @lru_cache(maxsize=1)
    def of(epoch: int) -> Augmentation:
        return Augmentation.draw(count, flips, photometric, generator("augment", epoch))

    return of
