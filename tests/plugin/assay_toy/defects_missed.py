"""Missed defects, counted one by one: an image with two of them counts twice."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from trainables.evaluation.metrics import HeatmapMetric, MapAndTruth, defect_regions


def defects_missed(images: Iterable[MapAndTruth], threshold: float) -> float:
    """A defect is missed when none of its pixels reaches the threshold."""
    missed = 0
    for heatmap, truth in images:
        count, numbers = defect_regions(truth)
        reached = np.unique(numbers[truth & (heatmap >= np.float32(threshold))])
        missed += count - len(reached)
    return float(missed)


METRIC = HeatmapMetric(
    name="defects_missed",
    title="defects missed",
    description="Defects without a pixel at the chosen threshold.",
    unit="defects",
    better="lower",
    compute=defects_missed,
)
