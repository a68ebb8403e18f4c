"""Every score that a table may show: those that read labels, those that read masks, those of other packages.

``METRICS`` has them by name. A metric stands in the tuple ``DECLARED`` of a file in this folder, or is an
entry point in the group ``assay.metrics`` (see :mod:`trainables.registry`). Its one declaration says how it
is called, which way is better, what it reads and how it is computed. ``base`` has the kinds.
A metric that the data do not define is :class:`Undefined` with a reason: never NaN, never a 0 that looks
measured.

``image_scores`` and ``pixels`` compute all metrics of a model, and the thresholds that are best for them.
``histogram`` does it for many maps at once.
"""

from __future__ import annotations

from trainables.evaluation.metrics.base import (
    METRICS,
    CountMetric,
    CurveMetric,
    DefectMetric,
    HeatmapMetric,
    ImageMetric,
    LabelFreeMetric,
    Metric,
    ReportedMetric,
)
from trainables.evaluation.metrics.image_metrics import image_ap
from trainables.evaluation.metrics.image_scores import best_f1_threshold, image_metrics
from trainables.evaluation.metrics.inputs import (
    Erasure,
    ImageScores,
    MapAndTruth,
    PixelCounts,
    PixelCurve,
    Undefined,
)
from trainables.evaluation.metrics.label_free import LABEL_FREE_METRICS
from trainables.evaluation.metrics.pixels import (
    PixelScores,
    count_metrics,
    defect_regions,
    region_shares,
    truth_at,
)

__all__ = [
    "LABEL_FREE_METRICS",
    "METRICS",
    "CountMetric",
    "CurveMetric",
    "DefectMetric",
    "Erasure",
    "HeatmapMetric",
    "ImageMetric",
    "ImageScores",
    "LabelFreeMetric",
    "MapAndTruth",
    "Metric",
    "PixelCounts",
    "PixelCurve",
    "PixelScores",
    "ReportedMetric",
    "Undefined",
    "best_f1_threshold",
    "count_metrics",
    "defect_regions",
    "image_ap",
    "image_metrics",
    "region_shares",
    "truth_at",
]
