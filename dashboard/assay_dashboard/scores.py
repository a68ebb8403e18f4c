"""Curves and counts of one trial, from its own files: no widgets."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from trainables.metrics import METRICS

__all__ = ["CLOCKS", "DecisionCurve", "confusion", "curves_of", "precision_recall", "roc"]

CLOCKS = ("epoch", "seconds", "time")
_VALIDATION = "validation."
_NAMES = {"lambda": "λ, weight of the segmentation loss", "lr": "Learning rate"}


class DecisionCurve(NamedTuple):
    """A curve in the unit square, and the point of the trial's own decisions on it."""

    points: pd.DataFrame  # index, x, y
    x: str
    y: str
    mark: tuple[float, float]


def curves_of(curve: pd.DataFrame) -> dict[str, tuple[str, pd.DataFrame]]:
    """Title → unit and long table (``epoch`` from 1, ``what``, ``value``), for what shares an axis."""
    groups: dict[str, list[str]] = {}
    for name in curve.columns:
        if name not in CLOCKS:
            groups.setdefault(_group(name)[0], []).append(name)
    tables: dict[str, tuple[str, pd.DataFrame]] = {}
    for title, names in groups.items():
        parts = [
            pd.DataFrame({"epoch": curve["epoch"] + 1, "what": _title(name), "value": curve[name]}).dropna(
                subset=["value"]
            )
            for name in names
        ]
        table = pd.concat(parts)
        if len(table):
            tables[title] = _group(names[0])[1], table
    return tables


def _group(name: str) -> tuple[str, str]:
    """Title and unit of the axis of a column."""
    if name.startswith(_VALIDATION):
        metric = METRICS.get(name.removeprefix(_VALIDATION))
        unit = "0–1" if metric is None else metric.scale
        return ("Validation scores" if unit == "0–1" else f"Validation in {unit}"), unit
    return ("Loss" if "loss" in name else _NAMES.get(name, name)), ""


def _title(name: str) -> str:
    metric = METRICS.get(name.removeprefix(_VALIDATION))
    return name if metric is None else metric.title


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
    from sklearn.metrics import roc_curve

    false, true, _ = roc_curve(predictions["label"], predictions["score"], drop_intermediate=False)
    table = pd.DataFrame({"x": false, "y": true}).reset_index()
    label, decided = (predictions[name].to_numpy(bool) for name in ("label", "decision"))
    mark = float(decided[~label].mean()), float(decided[label].mean())
    return DecisionCurve(table, "false positive rate", "true positive rate", mark)


def precision_recall(predictions: pd.DataFrame) -> DecisionCurve:
    """Precision against recall; both kinds of image must be there."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(predictions["label"], predictions["score"])
    table = pd.DataFrame({"x": recall, "y": precision}).reset_index()
    label, decided = (predictions[name].to_numpy(bool) for name in ("label", "decision"))
    hit = float((label & decided).sum())
    mark = float(decided[label].mean()), hit / max(1.0, float(decided.sum()))
    return DecisionCurve(table, "recall", "precision", mark)
