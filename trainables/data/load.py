"""From a split to what ``fit`` and the evaluation hold in hands.

Only here are masks of training images opened: for training those that the split names, and all of them when
training is over (:func:`load_truth`). Masks of training and validation come as finely as the split says
(``data.mask_detail``), those of the test part as they are stored.

Where large images are cut into tiles (``data.tiles``), training and its validation hold tiles, the evaluation
whole images. A tile is defective where its part of the mask is. Of a defective image whose mask may not be
seen nobody knows which tiles are, so training does not get it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainables.data.files.formats import BrokenImageError
from trainables.data.files.sources import decode_mask, read_bytes
from trainables.data.inspect.findings import ImageRow
from trainables.data.manifest import Manifest
from trainables.data.masks import coarsen
from trainables.data.samples import ClassMasks, EvaluationData, ImageSet, ImageSource, TrainingData
from trainables.data.spec import MaskDetail, Supervision, Tiles
from trainables.data.splits import Split
from trainables.data.tiles import TileShape, tile_id
from trainables.errors import InputError

__all__ = ["load_evaluation", "load_training", "load_truth"]

_MOST_CLASSES = 255  # a pixel's class is a byte, and 0 is background


def load_training(
    manifest: Manifest,
    split: Split,
    supervision: Supervision,
    images: ImageSource,
    *,
    by_class: bool = False,
    stored: ImageSource | None = None,
) -> TrainingData:
    """Training and validation. Masks: those of ``split.masks``, and validation's under full supervision.

    With ``by_class`` the same masks come with the numbers of their classes too, where the data have several;
    with ``stored``, images as they are stored.

    Raises:
        InputError: If a mask is missing, damaged, or changed since the manifest was read.
    """
    parts = _Parts(manifest, split, images, _class_names(manifest) if by_class else (), stored)
    make = parts.whole if split.tiles is None else parts.cut
    train = make(split.train, split.masks if supervision.reads_masks else (), split.mask_detail)
    validation = None
    if split.validation:
        validation = make(split.validation, _validation_masks(split, supervision), split.mask_detail)
    return TrainingData(train, validation, supervision)


def load_evaluation(
    manifest: Manifest,
    split: Split,
    supervision: Supervision,
    images: ImageSource,
    *,
    stored: ImageSource | None = None,
) -> EvaluationData:
    """Validation as in training, calibration without masks, and test with every mask that there is.

    Raises:
        InputError: If a mask is missing, damaged, or changed since the manifest was read.
    """
    parts = _Parts(manifest, split, images, stored=stored)
    validation = None
    if split.validation:
        validation = parts.whole(split.validation, _validation_masks(split, supervision), split.mask_detail)
    calibration = parts.whole(split.calibration, ()) if split.calibration else None
    test = parts.whole(split.test, split.test)
    if manifest.indices is None:
        return EvaluationData(validation, test, calibration)

    # Only the evaluation sees which class a pixel belongs to, and which pixels count for neither.
    masks = parts.held(_Masks(manifest, split.test, "fine", by_class=manifest.classes))
    ignored = parts.held(_Masks(manifest, split.test, "fine", manifest.ignored)) if manifest.ignored else {}
    return EvaluationData(
        validation, replace(test, masks=masks, mask_classes=manifest.classes, ignored=ignored), calibration
    )


def load_truth(manifest: Manifest, split: Split, images: ImageSource) -> ImageSet:
    """The training images with every mask there is: to measure what was made of them, after training only.

    Raises:
        InputError: If a mask is missing, damaged, or changed since the manifest was read.
    """
    parts = _Parts(manifest, split, images)
    return (parts.whole if split.tiles is None else parts.cut)(split.train, split.train)


def _validation_masks(split: Split, supervision: Supervision) -> tuple[str, ...]:
    return split.validation if supervision.kind == "full" else ()


def _class_names(manifest: Manifest) -> tuple[str, ...]:
    """The classes that masks tell apart: those of class indices, else those of images that have a mask."""
    if manifest.indices is not None:
        return manifest.classes
    named = {row.defect_class for row in manifest.rows if row.mask is not None}
    return tuple(sorted(name for name in named if name is not None))


@dataclass(frozen=True)
class _Parts:
    """Makes sets of the images of a manifest."""

    manifest: Manifest
    split: Split
    images: ImageSource
    class_names: tuple[str, ...] = ()  # that masks are asked to tell apart
    stored: ImageSource | None = None

    def whole(
        self, samples: tuple[str, ...], allowed: Iterable[str], detail: MaskDetail = "fine"
    ) -> ImageSet:
        """Images, those that are cut into tiles put together again."""
        rows = [self.manifest.by_sample[sample] for sample in samples]
        images: ImageSource = _Images(self.images, samples)
        # Evaluation sees photographs and not tiles: tiles of one defect would count it several times.
        shape = None
        if self.split.tiles is not None and rows:
            shape = self._shape(self.split.tiles, rows[0])
            images = _Joined(self.images, {row.sample: row for row in rows}, shape)
        masks = self.held(_Masks(self.manifest, allowed, detail))
        return ImageSet(
            ids=samples,
            labels=np.array([row.label for row in rows], dtype=np.bool_),
            images=images,
            masks=masks,
            class_masks=self.by_class(masks, detail),
            stored=None if self.stored is None else _Images(self.stored, samples),
            items=tuple(row.group for row in rows),
            classes=tuple(row.defect_class for row in rows),
            sizes=np.array([(row.height, row.width) for row in rows], dtype=np.int64).reshape(-1, 2),
            tiles=shape,
        )

    def held(self, masks: Mapping[str, NDArray[np.uint8]]) -> Mapping[str, NDArray[np.uint8]]:
        """Masks in memory; those of images in tiles are read when they are asked for."""
        return dict(masks.items()) if self.split.tiles is None else masks

    def by_class(self, masks: Iterable[str], detail: MaskDetail) -> ClassMasks | None:
        """Masks that may be read, by class; that of an image of unknown class is left out."""
        if not 2 <= len(self.class_names) <= _MOST_CLASSES:
            return None
        numbered = _Masks(self.manifest, masks, detail, by_class=self.class_names)
        return ClassMasks(self.class_names, self.held(numbered))

    def cut(self, samples: tuple[str, ...], allowed: Iterable[str], detail: MaskDetail = "fine") -> ImageSet:
        """The tiles of images, each with a label of its own."""
        tiles, known = self.split.tiles, _Masks(self.manifest, allowed, detail)
        assert tiles is not None, "asked where images are cut"
        by_class = self.by_class(known, detail)
        ids: list[str] = []
        rows: list[ImageRow] = []
        masks: dict[str, NDArray[np.uint8]] = {}
        numbered: dict[str, NDArray[np.uint8]] = {}
        for row in (self.manifest.by_sample[sample] for sample in samples):
            mask = known.get(row.sample)
            # Of such an image nobody knows which of its tiles are defective.
            if row.label and mask is None:
                continue
            classes = None if by_class is None else by_class.masks.get(row.sample)
            shape = self._shape(tiles, row)
            for place in shape.places(shape.scaled(row.height, row.width)):
                ids.append(tile_id(row.sample, place.row, place.column))
                rows.append(row)
                if mask is not None and (part := shape.mask_of(place, mask)).any():
                    masks[ids[-1]] = _frozen(part.copy())  # a view would keep the whole mask
                    if classes is not None:
                        numbered[ids[-1]] = _frozen(shape.mask_of(place, classes).copy())
        return ImageSet(
            ids=tuple(ids),
            labels=np.array([sample in masks for sample in ids], dtype=np.bool_),
            images=_Images(self.images, ids),
            masks=masks,
            class_masks=None if by_class is None else by_class._replace(masks=numbered),
            items=tuple(row.group for row in rows),
            classes=tuple(row.defect_class if i in masks else None for i, row in zip(ids, rows, strict=True)),
        )

    def _shape(self, tiles: Tiles, row: ImageRow) -> TileShape:
        height, width = self.images[tile_id(row.sample, 0, 0)].shape[:2]
        return TileShape(tiles, height, width)


class _Images:
    """The images of one set, and no other: training cannot ask the cache for a test image."""

    def __init__(self, images: ImageSource, samples: Iterable[str]) -> None:
        self._images, self._samples = images, frozenset(samples)

    def __getitem__(self, sample_id: str, /) -> NDArray[np.uint8]:
        if sample_id not in self._samples:
            raise KeyError(f"{sample_id} is no image of this set of {len(self._samples)}")
        return self._images[sample_id]


@dataclass(frozen=True)
class _Joined:
    """Large images at the network's scale, put together from the cores of their tiles when asked for."""

    images: ImageSource
    rows: Mapping[str, ImageRow]
    shape: TileShape

    def __getitem__(self, sample_id: str, /) -> NDArray[np.uint8]:
        row = self.rows[sample_id]
        size = self.shape.scaled(row.height, row.width)
        channels = self.images[tile_id(sample_id, 0, 0)].shape[2]
        image = np.empty((*size, channels), np.uint8)
        for place in self.shape.places(size):
            image[place.core] = self.images[tile_id(sample_id, place.row, place.column)][place.inner]
        return _frozen(image)


class _Masks(Mapping[str, NDArray[np.uint8]]):
    """Masks by sample id, read when asked for: those of large images would not fit into memory together.

    Args:
        manifest: Of the data set.
        samples: Whose masks; an image without one is left out.
        detail: How finely they are drawn.
        values: Class indices that are 1; None: those of the manifest, without the masks in which a class is
            ignored: what is no defect in them may be one.
        by_class: Names of classes: the first is 1, the second 2, …. With class indices no mask is left out;
            without them a mask shows the class of its image, and one of unknown class is left out.
    """

    def __init__(
        self,
        manifest: Manifest,
        samples: Iterable[str],
        detail: MaskDetail,
        values: tuple[int, ...] | None = None,
        *,
        by_class: tuple[str, ...] = (),
    ) -> None:
        # A mask in which a class is ignored cannot teach, since what it calls background may be a defect;
        # for the evaluation it counts.
        rows = (manifest.by_sample[sample] for sample in samples)
        every = values is not None or bool(by_class)
        by_image = bool(by_class) and manifest.indices is None
        self._paths = {
            row.sample: row.mask
            for row in rows
            if row.mask is not None
            and (every or manifest.can_teach(row))
            and (not by_image or row.defect_class in by_class)
        }
        self._manifest = manifest
        self._detail: MaskDetail = detail
        self._values = values or manifest.indices
        self._by_class = by_class

    def __getitem__(self, sample_id: str, /) -> NDArray[np.uint8]:
        row, path = self._manifest.by_sample[sample_id], self._paths[sample_id]
        if not self._by_class or self._values is None:
            mask = _read_mask(self._manifest, row, path, self._detail, self._values)
            if not self._by_class or row.defect_class is None:
                return mask
            return _frozen(mask * np.uint8(self._by_class.index(row.defect_class) + 1))
        # Classes do not overlap in a mask of indices. Drawn coarsely they may: the later one is on top.
        numbered = [
            _read_mask(self._manifest, row, path, self._detail, (value,)) * np.uint8(number)
            for number, value in enumerate(self._values, 1)
        ]
        return _frozen(np.maximum.reduce(numbered))

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _read_mask(
    manifest: Manifest, row: ImageRow, path: str, detail: MaskDetail, values: tuple[int, ...] | None
) -> NDArray[np.uint8]:
    try:
        # A mask that changed since the plan would train another study under the same id.
        data = read_bytes(manifest.mask_root or manifest.root, path)
        if hashlib.sha256(data).hexdigest() != row.mask_hash:
            raise InputError(f"{path} changed since the data were read. Plan the study again.")
        mask = coarsen(decode_mask(data, manifest.mask_above, values), detail)
    except BrokenImageError as error:
        raise InputError(f"{row.image} has no usable mask: {path}: {error}. Unpack again.") from error
    return _frozen(mask)


def _frozen(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    pixels.flags.writeable = False
    return pixels
