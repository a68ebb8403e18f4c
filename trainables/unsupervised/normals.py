"""Division of normal images: those that train, and those on which the trained networks are measured.

Scores of images that a network was trained on are too good. So means, spreads and the scales of map and
score come from normal images that were held out: those of the validation part, where it has any, else a fixed
share of the training part, drawn by item, which then trains nothing. Labels of validation images are known
under every supervision; test images are never looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trainables.contract import Run, seed_for
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.seeds import shuffled
from trainables.errors import InputError

__all__ = ["Normals", "divide_normals", "normal_images"]


class Normals(NamedTuple):
    """Normal images without masks."""

    train: ImageSet
    held_out: ImageSet


def divide_normals(data: TrainingData, share: float, run: Run) -> Normals:
    """The normal images of ``data``; the same in every stage of a repeat.

    Args:
        data: Defective images in it are not looked at.
        share: Of the training items, held out where validation has no normal image; at least one item.
        run: Its seed and fold decide which.

    Raises:
        InputError: If no normal image is left to train on.
    """
    # Validation's normal images are the best measure, since nothing was trained on them.
    normal = np.flatnonzero(~data.train.labels).tolist()
    if data.validation is not None and not data.validation.labels.all():
        held_out = normal_images(data.validation)
        chosen = set[int]()
    else:
        # Otherwise a share of the training part is held out by item: images of one item are near copies,
        # and would make the held-out ones look too normal.
        names = data.train.items or data.train.ids
        items = shuffled({names[i] for i in normal}, seed_for(run.seed, run.fold, "held-out normals"))
        taken = set(items[: max(1, round(share * len(items)))])
        chosen = {i for i in normal if names[i] in taken}
        held_out = data.train.without_masks(sorted(chosen))
    train = data.train.without_masks([i for i in normal if i not in chosen])
    if not len(train) or not len(held_out):
        raise InputError(
            "unsupervised methods train on normal images and are measured on others: found "
            f"{len(normal)} normal images in the training part. Add some, or normal images to validation."
        )
    return Normals(train, held_out)


def normal_images(images: ImageSet) -> ImageSet:
    """The normal ones among ``images``, without masks."""
    return images.without_masks(np.flatnonzero(~images.labels).tolist())
