"""The predictions that a record keeps of its test images, as labels and scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from assay.storage.record import Record
from assay.storage.store import DamagedFileError
from trainables.evaluation.metrics.inputs import ImageScores

__all__ = ["image_scores_of"]


def image_scores_of(
    record: Record, read_part: Callable[[Record, str], pa.Table | None]
) -> ImageScores | None:
    """Labels and scores of a record's test images; None where it has no predictions that can be read."""
    result = record.result
    if result is None or result.thresholds is None:
        return None
    try:
        table = read_part(record, "predictions.parquet")
    except (FileNotFoundError, DamagedFileError):  # `assay check` names it
        return None
    if table is None:
        return None
    # One image without an item is enough to leave items out: counts of parts would mix parts with images.
    items = table["item"].to_pylist()
    return ImageScores(
        np.array(table["label"].to_pylist(), np.bool_),
        np.array(table["score"].to_pylist(), np.float64),
        result.thresholds.image,
        () if None in items else tuple(items),
    )
