"""Findings in the predictions of test images that records keep: later metrics, escapes, repeats at chance.

Metrics that came after a record was written are computed from what it kept: those of defects from its
counts, those of images from its predictions. Those of pixels need heatmaps, which no record keeps whole:
their repeats stay without a value.

A repeat counts as at chance if the rank-sum test (Mann and Whitney, one-sided, ties counted) of its defective
against its normal test images stays above p = .05, so the rule needs no tuning. Of models that know nothing
95 % are counted. Of 1,000 models that do know something, with 18 defective and 117 normal test images, 60 %
were counted at an AUROC of .6, 13 % at .7, 0.1 % at .8; with 110 and 894 3 % and none; with 6 and 40 82, 53
and 19 %. Permutations of image AP counted more of them. Test sets so small that a perfect order has p > .05
say nothing. It is asked where the primary metric is one of image scores: pixels of an image depend on each
other, and have no such test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from assay.analysis.results.computed import computed
from assay.analysis.results.results import ReadPart, StudyResults
from assay.storage.predictions import image_scores_of
from assay.storage.record import Record, Result
from trainables.evaluation.metrics import DefectMetric, ImageMetric, ImageScores, Metric, Undefined

__all__ = [
    "CHANCE_NOTE",
    "IMAGE_COUNTS",
    "PART_RATES",
    "AtChance",
    "PartRate",
    "cells_at_chance",
    "exact_interval",
    "is_at_chance",
    "measured_records",
    "part_rates",
    "with_derived_metrics",
]

# Metrics that came later ---------------------------------------------------------------------------------


@computed
def measured_records(results: StudyResults) -> Mapping[str, Record]:
    """The records of a study, with metrics of its table that came after them."""
    read_part = None if results.store is None else results.store.read_part
    return with_derived_metrics(results.records, results.metrics, read_part)


def with_derived_metrics(
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

    # Metrics of defects need only counts, which every record holds.
    values: dict[str, float | Undefined] = {
        metric.name: metric.value(result.defects)
        for metric in missing
        if isinstance(metric, DefectMetric) and result.defects
    }

    # Metrics of images need the predictions, a file of each trial, which is read if any is missing.
    of_images = [metric for metric in missing if isinstance(metric, ImageMetric)]
    images = image_scores_of(record, read_part) if of_images and read_part is not None else None
    if images is not None:
        values |= {metric.name: metric.value(images) for metric in of_images}
    if not values:
        return record

    # A metric that cannot be had, as an AUROC of one class, is written down with its reason: a table would
    # else say that it was not measured.
    defined = {name: value for name, value in values.items() if not isinstance(value, Undefined)}
    reasons = {name: value.reason for name, value in values.items() if isinstance(value, Undefined)}
    update = {"metrics": {**result.metrics, **defined}, "undefined": {**result.undefined, **reasons}}
    return record.model_copy(update={"result": result.model_copy(update=update)})


def _is_unmeasured(result: Result, metric: Metric) -> bool:
    """True where the record has neither a value nor a reason."""
    return metric.name not in result.metrics and metric.name not in result.undefined


# Escapes and false alarms --------------------------------------------------------------------------------


# Metrics of decisions, and whether they count parts (a thousand of them) or images.
PART_RATES = ("escapes", "false_alarms")
IMAGE_COUNTS = ("fn", "fp")
_CONFIDENCE = 0.95


class PartRate(NamedTuple):
    """Wrong decisions of one cell on parts, or images, of one kind: means over repeats."""

    cell: str
    wrong: float
    parts: float  # of a repeat; images where every part has one
    low: float  # of the rate's 95 % interval, in parts of a thousand
    high: float


def part_rates(results: StudyResults, metric: str) -> list[PartRate]:
    """The rate of ``metric`` (of ``PART_RATES``, ``IMAGE_COUNTS``) for each reported cell with predictions.

    It is that of one model on as many other parts: repeats are averaged and count as one, which is on the
    safe side where they have the same test parts.
    """
    store = results.store
    if store is None:
        return []
    # Parts are items where all images have one: several photos of a part are one chance to let it escape.
    counts: dict[str, list[tuple[int, int]]] = {cell.name: [] for cell in results.reported.cells}
    for trial, record, _ in results.trained:
        images = image_scores_of(record, store.read_part)
        if images is not None:
            counted = images.parts_or_images if metric in PART_RATES else images
            counts[trial.cell].append(_wrong_decisions(counted, metric))
    rates: list[PartRate] = []
    for cell, of_repeats in counts.items():
        # The mean over repeats is taken and not their sum: where they share a test part, the sum would
        # count each part several times, and the interval would be too narrow.
        errors, parts = np.mean(of_repeats, axis=0) if of_repeats else (0, 0)
        if parts:
            low, high = exact_interval(float(errors), float(parts))
            rates.append(PartRate(cell, float(errors), float(parts), 1000 * low, 1000 * high))
    return rates


def exact_interval(errors: float, parts: float) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a share, ``errors`` of ``parts``; means need not be whole."""
    # The incomplete beta function takes counts that are not whole, which means over repeats are. At no
    # error and at all errors its limits are 0 and 1, where it is not defined.
    tail = (1 - _CONFIDENCE) / 2
    low = 0.0 if errors <= 0 else float(special.betaincinv(errors, parts - errors + 1, tail))
    high = 1.0 if errors >= parts else float(special.betaincinv(errors + 1, parts - errors, 1 - tail))
    return low, high


def _wrong_decisions(parts: ImageScores, metric: str) -> tuple[int, int]:
    """Wrong decisions of a class of parts, and how many of it there are."""
    if metric in ("escapes", "fn"):
        return parts.fn, parts.fn + parts.tp
    return parts.fp, parts.fp + parts.tn


# Repeats at chance ---------------------------------------------------------------------------------------


_CHANCE_LEVEL = 0.05
_FAR = 0.98  # AUROC that no random order of any 20 images reaches in 5 %: predictions need not be read
_FEWEST = 20
CHANCE_NOTE = (
    "No better than chance: the repeat ranks test images no better than a random order (rank-sum test, "
    "one-sided, p > .05). Such repeats pull means down; the median stands beside the mean."
)


class AtChance(NamedTuple):
    """Repeats of a cell that never left chance."""

    repeats: int  # that were tested
    at_chance: int

    def __str__(self) -> str:
        return f"{self.at_chance} of {self.repeats} no better than chance"


def cells_at_chance(results: StudyResults) -> Mapping[str, AtChance]:
    """Cell → its repeats at chance, for the reported cells that have any.

    Empty where predictions are not to be read, or pixels answer the question.
    """
    return {} if results.read_part is None else _cells_at_chance(results)


@computed
def _cells_at_chance(results: StudyResults) -> Mapping[str, AtChance]:
    read_part = results.read_part
    if read_part is None or results.primary.reads != "labels":
        return {}
    at_chance: dict[str, list[bool]] = {}
    for trial, record, result in results.trained:
        verdict = _verdict(record, result, read_part)
        if verdict is not None:
            at_chance.setdefault(trial.cell, []).append(verdict)
    return {cell: AtChance(len(each), sum(each)) for cell, each in at_chance.items() if any(each)}


def _verdict(record: Record, result: Result, read_part: ReadPart) -> bool | None:
    # Most repeats are far from chance by the AUROC that the record holds, and their predictions stay unread.
    if result.n_test >= _FEWEST and result.metrics.get("image_auroc", 0.0) >= _FAR:
        return False
    images = image_scores_of(record, read_part)
    return None if images is None else is_at_chance(images.labels, images.scores)


def is_at_chance(labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> bool | None:
    """True where scores rank defective images (True) no better than chance; None where none could."""
    from scipy.stats import mannwhitneyu

    # The smallest p of a rank test is one over the number of orders: with so few images even a perfect
    # order would not be below the level, and calling it chance would be wrong.
    defective, normal = scores[labels], scores[~labels]
    if comb(len(labels), len(defective)) * _CHANCE_LEVEL < 1:
        return None
    p = float(mannwhitneyu(defective, normal, alternative="greater").pvalue)
    return not p <= _CHANCE_LEVEL  # all scores equal: no p
