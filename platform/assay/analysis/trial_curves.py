"""Curves of a trial by what shares an axis, as the dashboard and the interactive report draw them."""

from __future__ import annotations

import math

import pandas as pd

from trainables.evaluation.metrics import METRICS

__all__ = ["CLOCKS", "curves_of"]

CLOCKS = ("epoch", "seconds", "time")
_VALIDATION = "validation."
_SCORES = "Validation scores"
_NAMES = {"lambda": "λ, weight of the segmentation loss", "lr": "Learning rate"}


def curves_of(curve: pd.DataFrame) -> dict[str, tuple[str, pd.DataFrame]]:
    """Title → unit and long table (``epoch`` from 1, ``what``, ``value``), for what shares an axis."""
    curve = curve.replace([math.inf, -math.inf], math.nan)  # of a loss on its way to diverge
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
            only = f"Validation {_title(names[0])}" if title == _SCORES and len(names) == 1 else title
            tables[only] = _group(names[0])[1], table
    return tables


def _group(name: str) -> tuple[str, str]:
    """Title and unit of the axis of a column."""
    if name.startswith(_VALIDATION):
        metric = METRICS.get(name.removeprefix(_VALIDATION))
        unit = "0–1" if metric is None else metric.scale
        return (_SCORES if unit == "0–1" else f"Validation in {unit}"), unit
    return ("Loss" if "loss" in name else _NAMES.get(name, name)), ""


def _title(name: str) -> str:
    metric = METRICS.get(name.removeprefix(_VALIDATION))
    return name if metric is None else metric.title
