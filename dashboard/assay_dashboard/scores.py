"""Counts and decision curves of one trial, from its own predictions: no widgets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainables.evaluation.metrics.images import counts_by_score, rates_by_score

__all__ = ["DecisionCurve", "confusion", "precision_recall", "roc"]


class DecisionCurve(NamedTuple):
    """A curve in the unit square, and the point of the trial's own decisions on it."""

    points: pd.DataFrame  # index, x, y
    x: str
    y: str
    mark: tuple[float, float]


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Images by what they are (rows) and what was decided (columns)."""
    names = {False: "normal", True: "defective"}
    counts = pd.crosstab(predictions["label"], predictions["decision"])
    counts = counts.reindex(index=[False, True], columns=[False, True], fill_value=0)
    counts.index = pd.Index([f"is {names[key]}" for key in (False, True)])
    counts.columns = pd.Index([f"decided {names[key]}" for key in (False, True)])
    return counts


def roc(predictions: pd.DataFrame) -> DecisionCurve:
    """True positives against false ones; both kinds of image must be there."""
    label, decided, score = _columns(predictions)
    true, false = (np.append(0.0, rates[::-1]) for rates in rates_by_score(label, score))
    table = pd.DataFrame({"x": false, "y": true}).reset_index()
    mark = float(decided[~label].mean()), float(decided[label].mean())
    return DecisionCurve(table, "false positive rate", "true positive rate", mark)


def precision_recall(predictions: pd.DataFrame) -> DecisionCurve:
    """Precision against recall; both kinds of image must be there."""
    label, decided, score = _columns(predictions)
    _, hits, chosen = counts_by_score(label, score)
    x, y = np.append(hits / label.sum(), 0.0), np.append(hits / chosen, 1.0)  # ends where nothing is decided
    table = pd.DataFrame({"x": x, "y": y}).reset_index()
    hit = float((label & decided).sum())
    mark = float(decided[label].mean()), hit / max(1.0, float(decided.sum()))
    return DecisionCurve(table, "recall", "precision", mark)


def _columns(
    predictions: pd.DataFrame,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    label, decided = (predictions[name].to_numpy(bool) for name in ("label", "decision"))
    return label, decided, predictions["score"].to_numpy(np.float64)
