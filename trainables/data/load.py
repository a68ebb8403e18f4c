"""From a split to what ``fit`` and the evaluation hold in hands.

Only here are masks of training images opened: for training those that the split names, and all of them when
training is over (:func:`load_truth`). Masks of training and validation come as finely as the split says
(``data.mask_detail``), those of the test part as they are stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from trainables.data.formats import BrokenImageError
from trainables.data.inspection import ImageRow
from trainables.data.manifest import Manifest
from trainables.data.masks import coarsen
from trainables.data.samples import EvaluationData, ImageSet, ImageSource, TrainingData
from trainables.data.sources import decode_mask, read_bytes
from trainables.data.spec import MaskDetail, Supervision
from trainables.data.splits import Split
from trainables.errors import InputError

__all__ = ["load_evaluation", "load_training", "load_truth"]


def load_training(
    manifest: Manifest, split: Split, supervision: Supervision, images: ImageSource
) -> TrainingData:
    """Training and validation. Masks: those of ``split.masks``, and validation's under full supervision.

    Raises:
        InputError: If a mask is missing, damaged, or changed since the manifest was read.
    """
    allowed = split.masks if supervision.reads_masks else ()
    train = _image_set(manifest, split.train, allowed, images, split.mask_detail)
    return TrainingData(train, _validation(manifest, split, supervision, images), supervision)


def load_evaluation(
    manifest: Manifest, split: Split, supervision: Supervision, images: ImageSource
) -> EvaluationData:
    """Validation as in training, and test with the mask of every defective image that has one.

    Raises:
        InputError: If a mask is missing, damaged, or changed since the manifest was read.
    """
    test = _image_set(manifest, split.test, split.test, images)
    return EvaluationData(_validation(manifest, split, supervision, images), test)


def load_truth(manifest: Manifest, split: Split, images: ImageSource) -> ImageSet:
    """The training images with every mask there is: to measure what was made of them, after training only.

    Raises:
        InputError: If a mask is missing, damaged, or changed since the manifest was read.
    """
    return _image_set(manifest, split.train, split.train, images)


def _validation(
    manifest: Manifest, split: Split, supervision: Supervision, images: ImageSource
) -> ImageSet | None:
    if not split.validation:
        return None
    allowed = split.validation if supervision.kind == "full" else ()
    return _image_set(manifest, split.validation, allowed, images, split.mask_detail)


def _image_set(
    manifest: Manifest,
    samples: tuple[str, ...],
    allowed: Iterable[str],
    images: ImageSource,
    detail: MaskDetail = "fine",
) -> ImageSet:
    rows = [manifest.by_sample[sample] for sample in samples]
    return ImageSet(
        ids=samples,
        labels=np.array([row.label for row in rows], dtype=np.bool_),
        images=_Images(images, samples),
        masks=_read_masks(manifest, allowed, detail),
        items=tuple(row.group for row in rows),
        classes=tuple(row.defect_class for row in rows),
        sizes=np.array([(row.height, row.width) for row in rows], dtype=np.int64).reshape(-1, 2),
    )


class _Images:
    """The images of one set, and no other: training cannot ask the cache for a test image."""

    def __init__(self, images: ImageSource, samples: Iterable[str]) -> None:
        self._images, self._samples = images, frozenset(samples)

    def __getitem__(self, sample_id: str, /) -> NDArray[np.uint8]:
        if sample_id not in self._samples:
            raise KeyError(f"{sample_id} is no image of this set of {len(self._samples)}")
        return self._images[sample_id]


def _read_masks(
    manifest: Manifest, samples: Iterable[str], detail: MaskDetail
) -> Mapping[str, NDArray[np.uint8]]:
    rows = (manifest.by_sample[sample] for sample in samples)
    return {row.sample: _read_mask(manifest, row, row.mask, detail) for row in rows if row.mask is not None}


def _read_mask(manifest: Manifest, row: ImageRow, path: str, detail: MaskDetail) -> NDArray[np.uint8]:
    try:
        data = read_bytes(manifest.mask_root or manifest.root, path)
        if hashlib.sha256(data).hexdigest() != row.mask_hash:
            raise InputError(f"{path} changed since the data were read. Plan the study again.")
        mask = coarsen(decode_mask(data, manifest.mask_above, manifest.indices), detail)
    except BrokenImageError as error:
        raise InputError(
            f"{row.image} has no usable mask: {path}: {error}. Unpack again, or use supervision: weak."
        ) from error
    mask.flags.writeable = False
    return mask
