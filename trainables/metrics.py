"""Every score that a table may show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

__all__ = ["Undefined", "image_ap"]


@dataclass(frozen=True)
class Undefined:
    """A metric that the data at hand do not define, and why: it is left out, never counted as 0."""

    reason: str


def image_ap(labels: NDArray[np.bool_], scores: NDArray[np.floating]) -> float | Undefined:
    """Average precision of image scores, step-wise: Σ (R_n − R_{n−1})·P_n, tied scores taken together.

    Undefined when one of the classes is missing: without normal images every ranking would have 1.
    """
    if labels.all() or not labels.any():
        return Undefined("image AP needs defective and normal images")
    return float(average_precision_score(labels, scores))
