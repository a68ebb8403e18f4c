"""Repeats that a table of scores has no row of: those that were lost, and metrics that one lacks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from assay.statistics.score_table import NO_FOLD

__all__ = ["repeat_keys", "with_all_metrics", "with_missing"]


def repeat_keys(table: pd.DataFrame) -> list[tuple[str, int, int, str]]:
    """Cell, seed, fold (-1: none) and metric of each row."""
    folds = table["fold"].fillna(NO_FOLD)
    return [
        (str(cell), int(seed), int(fold), str(metric))
        for cell, seed, fold, metric in zip(table["cell"], table["seed"], folds, table["metric"], strict=True)
    ]


def with_missing(table: pd.DataFrame, cells: Sequence[str]) -> pd.DataFrame:
    """The table with a row for each repeat that another cell has: it is missing, and not unplanned.

    So is each fold that a seed lacks and another seed has, where both have a fold in common: a mean over
    fewer folds is another score.
    """
    keys = repeat_keys(table)
    present = set(keys)
    repeats = dict.fromkeys((seed, fold, metric) for _, seed, fold, metric in keys)
    metrics = dict.fromkeys(metric for *_, metric in keys)
    repeats |= dict.fromkeys((*repeat, metric) for repeat in _of_no_cell(repeats) for metric in metrics)
    absent = [(cell, *repeat) for cell in cells for repeat in repeats if (cell, *repeat) not in present]
    if not absent:
        return table
    first = {cell: index for index, (cell, *_) in reversed(list(enumerate(keys)))}
    added = table.iloc[[first[cell] for cell, *_ in absent]].copy()
    added["seed"] = [seed for _, seed, _, _ in absent]
    added["fold"] = pd.array([pd.NA if fold == NO_FOLD else fold for _, _, fold, _ in absent], "Int64")
    added["metric"] = [metric for *_, metric in absent]
    lost = added.assign(n_train=math.nan, n_test=math.nan, value=math.nan, status="missing")
    return pd.concat([table, lost], ignore_index=True)


def _of_no_cell(repeats: Iterable[tuple[int, int, str]]) -> list[tuple[int, int]]:
    """Seed and fold of repeats that no cell has, though a seed with which it shares a fold has the fold."""
    folds_of: dict[int, set[int]] = {}
    seeds_of: dict[int, set[int]] = {}
    for seed, fold, _ in repeats:
        folds_of.setdefault(seed, set()).add(fold)
        seeds_of.setdefault(fold, set()).add(seed)
    lacking: list[tuple[int, int]] = []
    for seed, folds in sorted(folds_of.items()):
        beside = {other for fold in folds for other in seeds_of[fold]}
        there = {fold for other in beside for fold in folds_of[other]}
        lacking += [(seed, fold) for fold in sorted(there - folds)]
    return lacking


def with_all_metrics(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a row for each metric that a repeat lacks: it has the state of the repeat, and no value.

    A study's summary has only the metrics that were asked for of a trial without a result.
    """
    keys = repeat_keys(table)
    present = set(keys)
    first: dict[tuple[str, int, int], int] = {}
    for index, (cell, seed, fold, _) in enumerate(keys):
        first.setdefault((cell, seed, fold), index)
    metrics = dict.fromkeys(metric for *_, metric in keys)
    absent = [(repeat, metric) for metric in metrics for repeat in first if (*repeat, metric) not in present]
    if not absent:
        return table
    added = table.iloc[[first[repeat] for repeat, _ in absent]]
    added = added.assign(metric=[metric for _, metric in absent], value=math.nan)
    return pd.concat([table, added], ignore_index=True)
