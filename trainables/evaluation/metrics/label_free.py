"""Scores of localisation that read image labels only, where choosing by masks would end weak supervision.

A search may ask for them on validation images beside METRICS, of a method that offers them
(``Trainable.label_free_metrics``). Its predictor paints over what its heatmap shows and looks again
(:class:`~trainables.contract.MeasuresErasure`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trainables.evaluation.metrics.base import LabelFreeMetric
from trainables.evaluation.metrics.inputs import Erasure

__all__ = ["LABEL_FREE_METRICS"]


def erasure_drop(erasure: Erasure) -> float:
    """The mean fall of p(defect); painting that makes a defect plainer is worth nothing."""
    return max(0.0, float(np.mean(erasure.drops)))


LABEL_FREE_METRICS: Mapping[str, LabelFreeMetric] = {
    metric.name: metric
    for metric in (
        LabelFreeMetric(
            name="erasure_drop",
            title="erasure drop",
            description="Fall of p(defect) when what the heatmap shows is painted over, mean over defective "
            "images.",
            compute=erasure_drop,
        ),
        LabelFreeMetric(
            name="image_ap_and_erasure_drop",
            title="AP and erasure drop",
            description="Mean of image_ap and erasure_drop.",
            compute=lambda erasure: (erasure.image_ap + erasure_drop(erasure)) / 2,
        ),
    )
}
