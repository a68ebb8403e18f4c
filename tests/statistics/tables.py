"""Tidy tables of made-up scores, in the columns of `summary.parquet`, and what scipy says of differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from assay.statistics.contrasts import comparison
from assay.statistics.families import ComparisonResult, Rules, compare

Value = float | str | None  # a score, or a status such as "diverged"


def tidy_table(
    cells: Mapping[str, Sequence[Any]], *, folds: int = 0, metric: str = "image_ap", **columns: Any
) -> pd.DataFrame:
    """Cell → its scores, seed by seed; with ``folds``, one sequence of K scores per seed."""
    rows: list[dict[str, Any]] = []
    for cell, of_seeds in cells.items():
        for seed, of_seed in enumerate(of_seeds):
            for fold, score in enumerate(of_seed) if folds else [(None, of_seed)]:
                lost = score is None or isinstance(score, str)
                rows.append(
                    {
                        "study": "made",
                        "cell": cell,
                        "seed": seed,
                        "fold": fold,
                        "n_train": 100,
                        "n_test": 50,
                        "part": "test",
                        "metric": metric,
                        "value": None if lost else float(score),
                        "status": (score or "missing") if lost else "finished",
                        **columns,
                    }
                )
    table = pd.DataFrame(rows)
    return table.astype({"fold": "Int16", "value": "float64"})


def ask(b: Sequence[Any], a: Sequence[Any], **options: Any) -> ComparisonResult:
    """The one answer to "a minus b" on one split."""
    metric = options.pop("metric", "image_ap")
    table = tidy_table({"b": b, "a": a}, metric=metric)
    return compare(table, [comparison("x: b → a", "b", "a")], metric=metric, rules=Rules(**options))[0]


def from_differences(d: Sequence[float], **options: Any) -> ComparisonResult:
    """The answer where the repeats differ by ``d``; the base varies, so that no cell looks one-sided."""
    base = 0.5 + 0.01 * np.random.default_rng(0).standard_normal(len(d))
    return ask(list(base), list(base + np.asarray(d)), **options)


def sign_flip_of_scipy(d: np.ndarray, resamples: float = np.inf) -> float:
    """p of its test of all sign vectors, or of so many random ones."""
    result = stats.permutation_test(
        (d,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)
