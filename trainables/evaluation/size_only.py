"""A baseline under every image AP: how well labels can be told from the photographs' sizes alone.

Photographs of defects are often cropped otherwise than those of good parts, and a network can read their
size off the distortion once all are stretched to one. On cracks in magnetic tiles size alone gives an image
AP of 0.35 to 0.7, where 0.17 of the images are defective, and on blowholes of 0.5, where 0.3 are.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trainables.data.samples import ImageSet
from trainables.evaluation.metrics import Undefined, image_ap

__all__ = ["size_only_ap"]


def size_only_ap(train: ImageSet, test: ImageSet, seed: int) -> float | Undefined:
    """Image AP on ``test`` of a forest that knows the heights and widths of the photographs, and no pixel.

    Args:
        train: Labels and sizes that the forest learns from.
        test: Those that it is evaluated on.
        seed: Of the forest.

    Returns:
        The AP; undefined where sizes are not known or a class is missing.
    """
    if train.sizes is None or test.sizes is None:
        return Undefined("the images' sizes are not known")
    if train.labels.all() or not train.labels.any():
        return Undefined("the training set has one class only")
    # As bytes, so the result can be kept by its input.
    learnt_from = (train.sizes.astype(np.int64).tobytes(), train.labels.astype(np.bool_).tobytes())
    return image_ap(test.labels, _scores(*learnt_from, test.sizes.astype(np.int64).tobytes(), seed))


@lru_cache(maxsize=16)  # rows of a study share their splits, and a forest takes a second
def _scores(train_sizes: bytes, train_labels: bytes, sizes: bytes, seed: int) -> NDArray[np.float64]:
    """Scores of a random forest, of arrays as bytes, which can be looked up."""
    from sklearn.ensemble import RandomForestClassifier

    labels_N = np.frombuffer(train_labels, np.bool_)
    forest = RandomForestClassifier(random_state=seed).fit(_shapes(train_sizes), labels_N)
    return forest.predict_proba(_shapes(sizes))[:, 1]


def _shapes(sizes: bytes) -> NDArray[np.float64]:
    """Height, width and their ratio of each photograph."""
    sizes_N2 = np.frombuffer(sizes, np.int64).reshape(-1, 2).astype(np.float64)
    return np.column_stack((sizes_N2, sizes_N2[:, 0] / sizes_N2[:, 1]))
