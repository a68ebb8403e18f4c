"""Training data where the network is, so that a step copies little and the host never waits for a GPU.

::

    images = TrainingImages(data.train, config, run.device)
    images.batch([3, 0])     # 2 × C × H × W float32 in [0, 1], on the device, in the config's memory format

On a GPU, data that fit within a share of its memory lie there from the start, images as bytes. Of others each
batch is copied from pinned memory while the host goes on. On a CPU nothing is copied but the batch itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.contract import TrainableConfig
from trainables.data.samples import ImageSet
from trainables.data.tensors import bytes_to_images
from trainables.runtime.device import usable_share

__all__ = ["DeviceRows", "TrainingImages", "numbers", "sent"]

_RESIDENT_SHARE = 0.25  # of the memory that this process may use on its GPU, for one kind of data


def sent(values: Tensor, device: torch.device) -> Tensor:
    """``values`` of the host on ``device``; the host does not wait until they have arrived on a GPU."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def numbers(values: Sequence[float], device: torch.device) -> Tensor:
    """A row of float32 on ``device``, for which the host does not wait."""
    return sent(torch.tensor(values, dtype=torch.float32), device)


class DeviceRows:
    """Arrays of one shape, by number: batches of them on the device that trains."""

    def __init__(self, row: Callable[[int], NDArray[Any]], count: int, device: torch.device) -> None:
        """Bring the rows to a GPU, if they fit in a quarter of the memory that this process may use there.

        Args:
            row: The array of a number below ``count``. One that several numbers share is kept once.
            count: Of rows.
            device: That trains.
        """
        self._row, self._device = row, device
        limit = _share_of(device)
        self._kept = _kept(row, count, device, limit) if limit else None

    @property
    def resident(self) -> bool:
        """True where a batch is put together on the device, of copies that lie there."""
        return self._kept is not None

    def batch(self, positions: Sequence[int], parts: Sequence[tuple[slice, ...]] | None = None) -> Tensor:
        """The rows of those numbers (at least one), stacked, on the device; of each its part, if given."""
        places = list(zip(positions, parts or [()] * len(positions), strict=True))
        if self._kept is not None:
            return torch.stack([self._kept[i][part] for i, part in places])
        return sent(torch.from_numpy(np.stack([self._row(i)[part] for i, part in places])), self._device)


class TrainingImages:
    """Images of a training set as batches on the device that trains, in a config's memory format."""

    def __init__(self, images: ImageSet, config: TrainableConfig, device: torch.device) -> None:
        self.device = device
        self._labels, self._shape = images.labels, (config.channels, *config.image_size)
        self._layout = (
            torch.channels_last if config.memory_format == "channels_last" else torch.contiguous_format
        )
        self._rows = DeviceRows(lambda i: images.images[images.ids[i]], len(images), device)

    def batch(self, positions: Sequence[int]) -> Tensor:
        """Images at ``positions``, B × C × H × W in [0, 1]."""
        if not positions:
            return torch.empty(0, *self._shape, device=self.device, memory_format=self._layout)
        return bytes_to_images(self._rows.batch(positions), self._layout)

    def labels_of(self, positions: Sequence[int]) -> Tensor:
        """Labels of the images at ``positions``, 1.0: defective."""
        return numbers([float(self._labels[i]) for i in positions], self.device)


def _kept(
    row: Callable[[int], NDArray[Any]], count: int, device: torch.device, limit: int
) -> list[Tensor] | None:
    """All rows on ``device``; None if they are larger than ``limit`` in all."""
    # Rows that several numbers share, as the plain target of all normal images, count and lie there once.
    rows = [row(i) for i in range(count)]
    distinct = {id(array): array for array in rows}
    if sum(array.nbytes for array in distinct.values()) > limit:
        return None
    there = {key: torch.from_numpy(np.array(array)).to(device) for key, array in distinct.items()}
    return [there[id(array)] for array in rows]


def _share_of(device: torch.device) -> int:
    """Bytes that may be kept there; of a CPU none, since the rows are there."""
    if device.type != "cuda":
        return 0
    whole = torch.cuda.get_device_properties(device).total_memory
    return int(_RESIDENT_SHARE * usable_share(device) * whole)
