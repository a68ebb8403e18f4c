"""Gigabytes that a study keeps: an estimate for the plan, from weights, probes and predictions."""

from __future__ import annotations

from collections.abc import Sequence

from assay.study.file.schema import Study
from assay.study.settings.settings import Settings

__all__ = ["kept_gigabytes"]

_FLOAT32 = 4  # bytes of a stored weight
_PROBE = 64_000  # bytes of a probe image: thumbnail, heatmap at display size, counts per level
_LINEAGE = 200_000  # bytes of a probe image's stages, where a method has some: half a dozen pictures
_TRIAL = 120_000  # bytes of a trial beside: record, curve, some hundred rows of predictions


def kept_gigabytes(study: Study, cells: Sequence[Settings], trials: int) -> float | None:
    """Gigabytes (10⁹ bytes) on storage when all is done; while training, running trials need more.

    Returns:
        None if models are kept and a trainable does not count its weights (``Trainable.parameters``).
    """
    staged = [bool(cell.trainable.stages(cell.config)) for cell in cells]
    probe = _PROBE + _LINEAGE * sum(staged) / max(1, len(staged))
    size = round(trials * (_TRIAL + study.keep.probes * probe))
    if study.keep.models != "none" and cells:
        counted = [(cell.trainable.parameters, cell.config) for cell in cells]
        weights = [count(config) * _FLOAT32 for count, config in counted if count is not None]

        # One method that does not count its weights makes the sum unknown.
        if len(weights) < len(cells):
            return None
        copies = trials / len(cells) if study.keep.models == "all" else _kept_rows(study)
        size += round(sum(weights) * copies)
    return size / 1e9


def _kept_rows(study: Study) -> int:
    """Rows of a cell that keep their best model: the cell itself; of a search, its winners or all points."""
    if study.search is None:
        return 1
    if study.replicate is None:
        return study.search.points
    started = len(study.start) if study.replicate.start else 0
    return study.replicate.best + started
