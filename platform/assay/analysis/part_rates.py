"""Escapes and false alarms of the cells, with intervals over the parts of the test."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from assay.analysis.later_metrics import image_scores_of
from assay.analysis.results import StudyResults
from trainables.evaluation.metrics import ImageScores

__all__ = ["PART_RATES", "PartRate", "exact_interval", "part_rates"]

PART_RATES = ("escapes", "false_alarms")
_LEVEL = 0.95


class PartRate(NamedTuple):
    """A rate of one cell, in parts of a thousand."""

    cell: str
    parts: float  # of a repeat, mean over repeats; images where every part has one
    low: float
    high: float


def part_rates(results: StudyResults, metric: str) -> list[PartRate]:
    """The interval of ``metric`` (of ``PART_RATES``) for each reported cell with predictions.

    It is that of one model on as many other parts: repeats are averaged and count as one, which is on the
    safe side where they have the same test parts.
    """
    store = results.store
    if store is None:
        return []
    counts: dict[str, list[tuple[int, int]]] = {cell.name: [] for cell in results.reported.cells}
    for trial, record, _ in results.trained:
        images = image_scores_of(record, store.read_part)
        if images is not None:
            counts[trial.cell].append(_counts(images.parts_or_images, metric))
    rates: list[PartRate] = []
    for cell, of_repeats in counts.items():
        errors, parts = np.mean(of_repeats, axis=0) if of_repeats else (0, 0)
        if parts:
            low, high = exact_interval(float(errors), float(parts))
            rates.append(PartRate(cell, float(parts), 1000 * low, 1000 * high))
    return rates


def exact_interval(errors: float, parts: float) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a share, ``errors`` of ``parts``; means need not be whole."""
    tail = (1 - _LEVEL) / 2
    low = 0.0 if errors <= 0 else float(special.betaincinv(errors, parts - errors + 1, tail))
    high = 1.0 if errors >= parts else float(special.betaincinv(errors + 1, parts - errors, 1 - tail))
    return low, high


def _counts(parts: ImageScores, metric: str) -> tuple[int, int]:
    """Wrong decisions of a class of parts, and how many of it there are."""
    if metric == "escapes":
        return parts.fn, parts.fn + parts.tp
    return parts.fp, parts.fp + parts.tn
