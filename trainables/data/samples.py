"""Data as training and evaluation hold them: images with labels, and masks only where they may be seen.

A :class:`Sample` has no mask field; a :class:`MaskedSample` has one. A method that is given weak
supervision gets the former only, so no mistake in code can read a mask that the study withholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from trainables.data.spec import Supervision
from trainables.data.tiles import TileShape

__all__ = [
    "ClassMasks",
    "EvaluationData",
    "ImageSet",
    "ImageSource",
    "MaskedSample",
    "Sample",
    "TrainingData",
]


@dataclass(frozen=True, eq=False)
class Sample:
    """One image at the network's input size, and its image label."""

    id: str
    image: NDArray[np.uint8]  # H × W × C, C = 1 (grey) or 3 (BGR); read-only
    label: bool  # True: defective


@dataclass(frozen=True, eq=False)
class MaskedSample(Sample):
    """A sample whose mask may be read."""

    mask: NDArray[np.uint8]  # h × w at the original image's size; 1 = defect, 0 = background


class ImageSource(Protocol):
    """Decoded images by sample id (the memory-mapped cache, or a plain dict in tests): mostly uint8."""

    def __getitem__(self, sample_id: str, /) -> NDArray[Any]: ...


class ClassMasks(NamedTuple):
    """Masks that tell classes apart: those of an image set that may be read, or fewer."""

    names: tuple[str, ...]  # the class of the values 1, 2, …
    masks: Mapping[str, NDArray[np.uint8]]  # by sample id: h × w as the mask, 0 = background


@dataclass(frozen=True, eq=False)
class ImageSet:
    """An ordered set of samples: ``len(set)``, ``set[i]``, ``set.labels``.

    ``masks`` maps sample ids to masks at original size (1 = defect). An id that is absent has no mask
    here, whether or not the data set has one on disk.
    """

    ids: tuple[str, ...]
    labels: NDArray[np.bool_]  # one per id
    images: ImageSource = field(repr=False)
    masks: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict, repr=False)
    items: tuple[str, ...] = ()  # physical item of each sample
    classes: tuple[str | None, ...] = ()  # defect class of each sample; None: normal
    # Classes of the values 1, 2, … of ``masks``, for the evaluation only; (): a mask is 0 and 1.
    mask_classes: tuple[str, ...] = ()
    # Pixels that count neither as defect nor as background, as ``masks``; for the evaluation only.
    ignored: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict, repr=False)
    # For methods that ask for it (``Trainable.reads_classes``); None: not asked for, or one class only.
    class_masks: ClassMasks | None = field(default=None, repr=False)
    # What a model is given instead of ``images``, which then are what people look at: H × W × C, uint8 or
    # uint16, each of its own size. None: it is given ``images``.
    stored: ImageSource | None = field(default=None, repr=False)
    sizes: NDArray[np.int64] | None = None  # N × 2: height and width as stored, pixels; None: unknown
    tiles: TileShape | None = None  # of images that are evaluated tile by tile: each has a size of its own

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def given(self) -> ImageSource:
        """The images that a model is given."""
        return self.images if self.stored is None else self.stored

    def __getitem__(self, index: int) -> Sample:
        sample_id = self.ids[index]
        image, label = self.images[sample_id], bool(self.labels[index])
        mask = self.masks.get(sample_id)
        if mask is None:
            return Sample(sample_id, image, label)
        return MaskedSample(sample_id, image, label, mask)

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def without_masks(self, positions: Sequence[int]) -> ImageSet:
        """The samples at these positions, in their order, without masks."""
        return replace(self.at(positions), masks={}, class_masks=None)

    def at(self, positions: Sequence[int]) -> ImageSet:
        """The samples at these positions, in their order, with their masks."""
        return replace(
            self,
            ids=tuple(self.ids[i] for i in positions),
            labels=self.labels[list(positions)],
            items=tuple(self.items[i] for i in positions) if self.items else (),
            classes=tuple(self.classes[i] for i in positions) if self.classes else (),
            sizes=self.sizes[list(positions)] if self.sizes is not None else None,
        )


@dataclass(frozen=True, eq=False)
class TrainingData:
    """All that ``fit`` sees: training and validation, never test."""

    train: ImageSet
    validation: ImageSet | None
    supervision: Supervision

    def with_images(self, images: ImageSource) -> TrainingData:
        """The same data with their images from elsewhere."""
        validation = None if self.validation is None else replace(self.validation, images=images)
        return replace(self, train=replace(self.train, images=images), validation=validation)


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """Data that the evaluation reads: validation and calibration choose thresholds, test reports.

    ``validation.masks`` is empty unless supervision is full: thresholds of the other rows may read image
    labels only. ``test.masks`` holds the mask of every defective test image that has one.
    """

    validation: ImageSet | None
    test: ImageSet
    calibration: ImageSet | None = None  # chooses the image threshold and nothing else; None: validation does
