"""Metrics that came after a record was written, computed from what it kept.

Those of defects from its counts, those of images from its predictions. Those of pixels need heatmaps, which
no record keeps whole: their repeats stay without a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from assay.analysis.computed import computed
from assay.analysis.results import ReadPart, StudyResults
from assay.storage.record import Record, Result
from assay.storage.store import DamagedFileError
from trainables.evaluation.metrics import DefectMetric, ImageMetric, ImageScores, Metric, Undefined
from trainables.evaluation.metrics.regions import DefectScore

__all__ = ["image_scores_of", "measured_records", "with_later_metrics"]


@computed
def measured_records(results: StudyResults) -> Mapping[str, Record]:
    """The records of a study, with metrics of its table that came after them."""
    read_part = None if results.store is None else results.store.read_part
    return with_later_metrics(results.records, results.metrics, read_part)


def with_later_metrics(
    records: Mapping[str, Record], metrics: Sequence[Metric], read_part: ReadPart | None
) -> dict[str, Record]:
    """``records`` by trial id, each with those of ``metrics`` that it says nothing of and yet can tell.

    Args:
        records: Finished or not.
        metrics: That are asked for.
        read_part: Reads a file of a record; None: no predictions are read.
    """
    return {id_: _completed(record, metrics, read_part) for id_, record in records.items()}


def _completed(record: Record, metrics: Sequence[Metric], read_part: ReadPart | None) -> Record:
    result = record.result
    if result is None or record.status != "finished":
        return record
    missing = [metric for metric in metrics if _is_unmeasured(result, metric)]
    values: dict[str, float | Undefined] = {
        metric.name: metric.value([DefectScore(**score.model_dump()) for score in result.defects])
        for metric in missing
        if isinstance(metric, DefectMetric) and result.defects
    }
    of_images = [metric for metric in missing if isinstance(metric, ImageMetric)]
    images = image_scores_of(record, read_part) if of_images and read_part is not None else None
    if images is not None:
        values |= {metric.name: metric.value(images) for metric in of_images}
    if not values:
        return record
    defined = {name: value for name, value in values.items() if not isinstance(value, Undefined)}
    reasons = {name: value.reason for name, value in values.items() if isinstance(value, Undefined)}
    update = {"metrics": {**result.metrics, **defined}, "undefined": {**result.undefined, **reasons}}
    return record.model_copy(update={"result": result.model_copy(update=update)})


def _is_unmeasured(result: Result, metric: Metric) -> bool:
    """True where the record has neither a value nor a reason."""
    return metric.name not in result.metrics and metric.name not in result.undefined


def image_scores_of(record: Record, read_part: ReadPart) -> ImageScores | None:
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
    items = table["item"].to_pylist()
    return ImageScores(
        np.array(table["label"].to_pylist(), np.bool_),
        np.array(table["score"].to_pylist(), np.float64),
        result.thresholds.image,
        () if None in items else tuple(items),
    )
