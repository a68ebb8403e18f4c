"""Repeats that never left chance: they rank the test images no better than a random order does.

The rule needs no tuning. A repeat counts if the rank-sum test (Mann and Whitney, one-sided, ties counted) of
its defective against its normal test images stays above p = .05. So of models that know nothing 95 % are
counted. Of 1,000 models that do know something, with 18 defective and 117 normal test images, 60 % were
counted at an AUROC of .6, 13 % at .7, 0.1 % at .8; with 110 and 894 3 % and none; with 6 and 40 82, 53 and
19 %. Permutations of image AP counted more of them. Test sets so small that a perfect order has p > .05 say
nothing.

It is asked where the primary metric is one of image scores. Pixels of an image depend on each other, and
have no such test.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import comb
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.analysis.computed import computed
from assay.analysis.later_metrics import image_scores_of
from assay.analysis.results import ReadPart, StudyResults
from assay.storage.record import Record, Result

__all__ = ["CHANCE_NOTE", "Collapses", "collapses", "is_at_chance"]

_LEVEL = 0.05
_FAR = 0.98  # AUROC that no random order of any 20 images reaches in 5 %: predictions need not be read
_FEWEST = 20
CHANCE_NOTE = (
    "Never left chance: the repeat ranks test images no better than a random order (rank-sum test, "
    "one-sided, p > .05). Such repeats pull means down; the median stands beside the mean."
)


class Collapses(NamedTuple):
    """Repeats of a cell that never left chance."""

    repeats: int  # that were tested
    collapsed: int

    def __str__(self) -> str:
        return f"{self.collapsed} of {self.repeats} never left chance"


def collapses(results: StudyResults) -> Mapping[str, Collapses]:
    """Cell → its collapses, for the reported cells that have any.

    Empty where predictions are not to be read, or pixels answer the question.
    """
    return {} if results.read_part is None else _collapses(results)


@computed
def _collapses(results: StudyResults) -> Mapping[str, Collapses]:
    read_part = results.read_part
    if read_part is None or results.primary.reads != "labels":
        return {}
    at_chance: dict[str, list[bool]] = {}
    for trial, record, result in results.trained:
        verdict = _verdict(record, result, read_part)
        if verdict is not None:
            at_chance.setdefault(trial.cell, []).append(verdict)
    return {cell: Collapses(len(each), sum(each)) for cell, each in at_chance.items() if any(each)}


def _verdict(record: Record, result: Result, read_part: ReadPart) -> bool | None:
    if result.n_test >= _FEWEST and result.metrics.get("image_auroc", 0.0) >= _FAR:
        return False
    images = image_scores_of(record, read_part)
    return None if images is None else is_at_chance(images.labels, images.scores)


def is_at_chance(labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> bool | None:
    """True where scores rank defective images (True) no better than chance; None where none could."""
    from scipy.stats import mannwhitneyu

    defective, normal = scores[labels], scores[~labels]
    if comb(len(labels), len(defective)) * _LEVEL < 1:
        return None
    p = float(mannwhitneyu(defective, normal, alternative="greater").pvalue)
    return not p <= _LEVEL  # all scores equal: no p
