"""The best cell of a study and of a ledger is chosen by one rule, which knows what diverged."""

from __future__ import annotations

import pytest

from assay.analysis.summary import Lost, Repeat, RepeatSummary, best_mean
from trainables.evaluation.metrics import METRICS


def summary_of(scores: list[float | str | None], metric: str) -> RepeatSummary:
    """A cell's scores, seed by seed; a status stands for a repeat without one."""
    repeats = [Repeat(seed, None) for seed in range(len(scores))]
    ended = dict(zip(repeats, scores, strict=True))
    return RepeatSummary(
        metric=metric,
        repeats=tuple(repeats),
        values={repeat: score for repeat, score in ended.items() if isinstance(score, float)},
        lost=tuple(Lost(1, score, None) for score in scores if isinstance(score, str)),
    )


@pytest.mark.parametrize(
    ("metric", "cells", "best"),
    [
        ("image_ap", [[0.7, 0.7], [0.8, 0.8]], 1),
        ("image_ap", [[0.7, 0.7], [0.8, "diverged"]], 0),
        ("image_ap", [[0.7, 0.7, 0.7], [0.99, "diverged", "missing"]], 0),
        ("image_ap", [[0.3, 0.3], [0.8, "diverged"]], 1),  # 0.4 with 0 in its place
        ("image_ap", [[0.7, 0.7], [0.8, "failed"]], 1),  # a machine's failure says nothing of the method
        ("image_ap", [["diverged", "diverged"], [0.1, 0.1]], 1),
        (
            "fpr_at_tpr_95",
            [[0.3, 0.3], [0.1, "diverged"]],
            0,
        ),  # 1 is the worst share of a lower-is-better one
        ("fp", [[9.0, 9.0], [1.0, "diverged"]], 0),  # a count has no worst value
        ("fp", [[3.0, "diverged"], [1.0, "diverged"]], 1),
        ("image_ap", [[0.7], [0.7]], 0),
    ],
)
def test_what_diverged_counts_as_the_worst_value(
    metric: str, cells: list[list[float | str | None]], best: int
) -> None:
    summaries = [summary_of(scores, metric) for scores in cells]
    assert best_mean(summaries, METRICS[metric]) is summaries[best]


def test_without_any_value_none_is_the_best() -> None:
    assert best_mean([summary_of(["diverged", "missing"], "image_ap")], METRICS["image_ap"]) is None
