"""AUPIMO: how much of each defective image is found while normal images stay almost clean."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from trainables.metrics.base import HeatmapMetric
from trainables.metrics.inputs import MapAndTruth, Undefined

__all__ = ["METRIC"]

LOWEST_FPR, HIGHEST_FPR = 1e-5, 1e-4  # Bertoldo et al. 2024, section 3: false pixels that cannot be seen


def aupimo(images: Iterable[MapAndTruth], threshold: float) -> float | Undefined:
    """Mean over defective images of the area under their recall, over the log of the false-positive rate.

    The rate is that of normal images alone, shared by all. Recall at a rate z is that of the lowest threshold
    with no more than z. So a defect pixel that c of N normal pixels reach counts at all rates from c / N on,
    and its share of the area is known without a curve: exact, however the scores are spread.

    Source: Bertoldo, Ameln, Vaidya and Akçay 2024, AUPIMO, arXiv 2401.01984.
    """
    defects: list[NDArray[np.float32]] = []
    normal: list[NDArray[np.float32]] = []
    for heatmap, truth in images:
        if truth.any():
            defects.append(heatmap[truth])
        else:
            normal.append(heatmap.ravel())
    pixels = sum(map(len, normal))
    if pixels * LOWEST_FPR < 1:
        return Undefined(f"normal images have {pixels:,} pixels, a rate of 0.00001 needs 100,000")
    count = int(pixels * HIGHEST_FPR) + 1
    scores = np.concatenate(normal)
    normal.clear()  # maps may take a gigabyte
    scores.partition(pixels - count)
    highest = np.sort(scores[-count:])
    return float(np.mean([_area(defect, highest, pixels) for defect in defects]))


def _area(scores: NDArray[np.float32], highest: NDArray[np.float32], pixels: int) -> float:
    """The area of one image, of the scores of its defect pixels."""
    reaching = len(highest) - np.searchsorted(highest, scores, side="left")
    rates = np.clip(reaching / pixels, LOWEST_FPR, HIGHEST_FPR)
    return float(np.mean(np.log(HIGHEST_FPR / rates)) / np.log(HIGHEST_FPR / LOWEST_FPR))


METRIC = HeatmapMetric(
    name="aupimo",
    title="AUPIMO",
    description="Recall of defect pixels in each defective image, averaged over false-positive rates of "
    "normal images from 0.00001 to 0.0001 on a log scale.",
    noted=False,
    compute=aupimo,
)
