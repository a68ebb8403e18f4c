"""Images as they are stored: with their bits and at their size, for methods that ask for them.

All other images are those of the cache (:mod:`trainables.data.cache`): 8 bits, at a method's ``image_size``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trainables.data.files.formats import BrokenImageError
from trainables.data.files.sources import decode_deep, read_bytes
from trainables.data.inspect.findings import ImageRow
from trainables.data.manifest import Manifest
from trainables.data.samples import ImageSet, TrainingData
from trainables.errors import InputError

__all__ = ["StoredImages", "keep_stored", "png_of", "read_image"]


def read_image(
    manifest: Manifest, row: ImageRow, channels: int, decode: Callable[[bytes, int, float], NDArray[Any]]
) -> NDArray[Any]:
    """Read and decode an image of a data set: H × W × ``channels``.

    Raises:
        InputError: If it changed since the manifest was read, or became unreadable.
    """
    try:
        # The hash is compared on the bytes that are decoded: a file that changed since the plan would be
        # another data set under the same id.
        data = read_bytes(manifest.root, row.image)
        if hashlib.sha256(data).hexdigest() != row.image_hash:
            raise InputError(
                f"{row.image} changed since the data were read: its sha256 is not {row.image_hash[:12]}…. "
                "Plan the study again."
            )
        return decode(data, channels, manifest.white)
    except BrokenImageError as error:
        raise InputError(f"{row.image}: {error.advice}.") from error


@dataclass(frozen=True)
class StoredImages:
    """Images of a data set by sample id, read when asked for: H × W × C, uint8 or uint16."""

    manifest: Manifest
    channels: int

    def __getitem__(self, sample_id: str, /) -> NDArray[Any]:
        image = read_image(self.manifest, self.manifest.by_sample[sample_id], self.channels, decode_deep)
        image.flags.writeable = False
        return image


@dataclass(frozen=True)
class _KeptImages:
    """The same of PNG files in a folder: a process that may not open the data may open this."""

    folder: Path
    numbers: Mapping[str, int]  # by sample id

    def __getitem__(self, sample_id: str, /) -> NDArray[Any]:
        path = self.folder / f"{self.numbers[sample_id]}.png"
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert image is not None, "it was written here"
        image = image.reshape(*image.shape[:2], -1)
        image.flags.writeable = False
        return image


def keep_stored(data: TrainingData, folder: Path) -> TrainingData:
    """Write the stored images of training and validation, and no other, as PNG files into a new folder.

    Returns:
        The same data, whose stored images are those files.
    """
    folder.mkdir(parents=True)
    numbers: dict[str, int] = {}

    def keep(images: ImageSet) -> ImageSet:
        assert images.stored is not None, "asked where images are given as stored"
        for sample in images.ids:
            numbers[sample] = len(numbers)
            (folder / f"{numbers[sample]}.png").write_bytes(png_of(images.stored[sample]))
        return replace(images, stored=_KeptImages(folder, numbers))

    validation = None if data.validation is None else keep(data.validation)
    return replace(data, train=keep(data.train), validation=validation)


def png_of(picture: NDArray[Any]) -> bytes:
    """A picture (H × W or H × W × C, uint8 or uint16, C = 1 or 3) as a PNG file, without loss."""
    written, data = cv2.imencode(".png", picture)
    assert written, "a picture of 8 or 16 bits with 1 or 3 channels"
    return np.asarray(data, np.uint8).tobytes()
