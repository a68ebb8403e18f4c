"""F1 at the best threshold there is, which reads the labels that it is measured by."""

from __future__ import annotations

from trainables.metrics.base import ImageMetric
from trainables.metrics.images import f1_by_score
from trainables.metrics.inputs import ImageScores, Undefined

__all__ = ["METRIC"]


def image_best_f1(images: ImageScores) -> float | Undefined:
    """The largest over all scores as thresholds."""
    return images.missing or float(f1_by_score(images.labels, images.scores)[1].max())


METRIC = ImageMetric(
    name="image_best_f1",
    title="best F1 (oracle)",
    description="F1 of image decisions at the threshold that is best for it. Reads test labels by "
    "definition.",
    compute=image_best_f1,
)
