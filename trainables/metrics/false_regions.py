"""False regions: pieces that are decided defect and touch none."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from trainables.metrics.base import HeatmapMetric
from trainables.metrics.inputs import MapAndTruth
from trainables.metrics.pixels import defect_regions

__all__ = ["METRIC"]


def false_regions(images: Iterable[MapAndTruth], threshold: float) -> float:
    """8-connected pieces at the pixel threshold without a defect pixel: their mean over all images."""
    false: list[int] = []
    for heatmap, truth in images:
        count, pieces = defect_regions(heatmap >= np.float32(threshold))
        touching = np.unique(pieces[truth])
        false.append(count - int(np.count_nonzero(touching)))
    return float(np.mean(false))


METRIC = HeatmapMetric(
    name="false_regions",
    title="false regions",
    description="Connected regions decided defect that touch no defect, per image, at the chosen threshold.",
    unit="regions per image",
    better="lower",
    noted=False,
    compute=false_regions,
)
