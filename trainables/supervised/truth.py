"""Truth of each image's pixels, as far as the supervision shows masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.data.samples import ImageSet
from trainables.metrics import truth_at
from trainables.nn.augmentation import Augmentation
from trainables.nn.on_device import DeviceRows, numbers
from trainables.supervised.loss import PixelTruth

__all__ = ["Truths"]


@dataclass(frozen=True, eq=False)
class Truths:
    """Masks at the network's input size, by position in the training set."""

    labels: NDArray[np.bool_]
    masks: Mapping[int, NDArray[np.bool_]]  # H × W; of defective images with a mask that shows something
    size: tuple[int, int]
    rows: DeviceRows  # a mask for each image: of those without any, nothing

    @classmethod
    def of(cls, images: ImageSet, size: tuple[int, int], device: torch.device) -> Truths:
        """Bring the masks of ``images`` to ``size``, by the rule of the later evaluation, and to ``device``.

        An empty mask of a defective image says nothing of where its defect is and counts as none.
        """
        positions = {name: index for index, name in enumerate(images.ids) if images.labels[index]}
        masks = {
            positions[name]: truth_at(mask, *size)
            for name, mask in images.masks.items()
            if name in positions and mask.any()
        }
        empty = np.zeros(size, np.bool_)
        rows = DeviceRows(lambda i: masks.get(i, empty), len(images), device)
        return cls(images.labels, masks, size, rows)

    @property
    def share(self) -> float:
        """The share of defect pixels in a batch: half of it normal, where any image is, the rest drawn."""
        images = len(self.masks) * (1 if self.labels.all() else 2)
        return sum(int(mask.sum()) for mask in self.masks.values()) / (images * self.size[0] * self.size[1])

    def batch(self, positions: Sequence[int], views: Augmentation) -> PixelTruth:
        """The truth of some images, flipped as they are."""
        masks_B1HW = self.rows.batch(positions)[:, None].float()
        drawn = numbers([float(i in self.masks) for i in positions], masks_B1HW.device)
        normal = numbers([float(not self.labels[i]) for i in positions], masks_B1HW.device)
        return PixelTruth(views.flip(masks_B1HW, positions), drawn + normal, drawn)
