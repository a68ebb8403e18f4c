"""Decisions on test images: counts and curves of one trial, wrong decisions of cells. No widgets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.study.planning.repeats import repeat_name
from assay_dashboard import study_view as reading
from trainables.evaluation.metrics.image_scores import counts_by_score, rates_by_score

__all__ = [
    "KINDS",
    "DecisionCurve",
    "Kind",
    "confusion",
    "has_predictions",
    "of_kind",
    "precision_recall",
    "roc",
    "wrong_images",
    "wrong_shares",
]


# Counts and decision curves of one trial ---------------------------------------------------------------


class DecisionCurve(NamedTuple):
    """A curve in the unit square, and the point of the trial's own decisions on it."""

    points: pd.DataFrame  # index, x, y
    x: str
    y: str
    mark: tuple[float, float]


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Images by what they are (rows) and what was decided (columns)."""
    names = {False: "normal", True: "defective"}
    # All four counts are shown, those that are 0 too.
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
    # The curve is of thresholds, and the mark is the decision that was really made.
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


# Wrong decisions on all test images, cell by cell over its repeats -------------------------------------


Kind = Literal["missed by all", "missed", "false alarms"]
KINDS: tuple[Kind, ...] = ("missed by all", "missed", "false alarms")
_IMAGE = ["test image", "defect class", "true label"]  # of two words: no cell is called so
_MOST = 0.5  # share of the repeats above which a decision counts as wrong


def has_predictions(view: reading.StudyView) -> list[str]:
    """The reported cells of which a finished trial has kept its predictions."""
    records = view.results.records
    kept = {
        trial.cell
        for trial in view.results.reported.trials
        if (record := records.get(trial.id)) is not None
        and f"{record.attempt}/predictions.parquet" in record.files
    }
    return [cell.name for cell in view.results.reported.cells if cell.name in kept]


def wrong_shares(view: reading.StudyView, cells: Sequence[str]) -> pd.DataFrame:
    """A row for each test image: what it is (``_IMAGE``), and by cell the share of wrong repeats.

    NaN where a cell was never tested on the image. The images that are wrong most often come first.

    Raises:
        OSError: If a file of a trial is damaged or gone.
    """
    # The images that are wrong most often come first; of equal ones the order by name stays.
    once = view.results.once  # a column for each cell: choices of cells are many
    columns = {cell: once(f"misses of {cell}", partial(_wrong_share, view, cell)) for cell in cells}
    shares = pd.concat(columns, axis=1).sort_index()
    order = np.argsort(-np.nanmean(shares.to_numpy(float), axis=1), kind="stable")
    return shares.iloc[order].reset_index()


def _wrong_share(view: reading.StudyView, cell: str) -> pd.Series:
    """The share of wrong repeats of a cell, by what is known of each image that one of them was tested on."""
    parts: list[pd.DataFrame] = []
    for trial in view.results.reported.trials:
        record = view.results.records.get(trial.id) if trial.cell == cell else None
        table = None if record is None else reading.read_part(view.store, record, "predictions.parquet")
        if table is not None:
            rows = table.select(["sample", "defect_class", "label", "decision"]).to_pandas()
            parts.append(rows.assign(wrong=rows["decision"] != rows["label"]))
    tested = pd.concat(parts)
    tested["true label"] = np.where(tested["label"].to_numpy(bool), "defective", "normal")
    tested["defect class"] = tested["defect_class"].fillna("")
    by_image = tested.rename(columns={"sample": "test image"}).groupby(_IMAGE)
    return pd.Series(by_image["wrong"].mean())


def wrong_images(view: reading.StudyView, cells: Sequence[str]) -> pd.DataFrame:
    """Every wrong decision of some cells, a row each: the surest mistakes of each kind first.

    ``image`` is the path of the test image in its data set; ``score`` reaches ``threshold`` in a false alarm.

    Raises:
        OSError: If a file of a trial is damaged or gone.
    """
    parts: list[pd.DataFrame] = []
    for trial, record, result in view.results.trained:
        table = None
        if trial.cell in cells:
            table = reading.read_part(view.store, record, "predictions.parquet")
        if table is None:
            continue
        # Only wrong decisions, with the variant and repeat that made them.
        rows = table.select(["sample", "defect_class", "label", "score", "decision"]).to_pandas()
        rows = rows[rows["decision"] != rows["label"]]
        rows.insert(0, "variant", trial.cell)
        rows.insert(1, "repeat", repeat_name(trial.seed, trial.fold))
        parts.append(rows.assign(threshold=None if result.thresholds is None else result.thresholds.image))
    columns = ["variant", "repeat", "sample", "defect_class", "label", "score", "decision", "threshold"]

    # Far from the threshold means sure of it: the surest mistakes of each kind come first.
    wrong = pd.concat(parts) if parts else pd.DataFrame(columns=columns)
    wrong.insert(2, "error", np.where(wrong["label"].to_numpy(bool), "miss", "false alarm"))
    distance = (wrong["score"] - wrong["threshold"]).abs()
    wrong = wrong.assign(distance=distance).sort_values(
        ["error", "distance"], ascending=[True, False], kind="stable"
    )
    named = wrong.drop(columns=["label", "decision", "distance"])
    return named.rename(columns={"sample": "image", "defect_class": "defect class"}).reset_index(drop=True)


def of_kind(shares: pd.DataFrame, kind: Kind | None, cell: str) -> pd.DataFrame:
    """The images of one kind, wrong in most repeats of ``cell`` (or of all); None: wrong in any repeat.

    All: those that were tested on the image.
    """
    cells = [name for name in shares.columns if name not in _IMAGE]
    values = shares[cells].to_numpy(float)
    if kind is None:
        return shares.loc[(values > 0).any(axis=1)]
    # A variant that was never tested on an image does not count against "missed by all".
    truth = shares["true label"].to_numpy() == ("normal" if kind == "false alarms" else "defective")
    if kind == "missed by all":
        wrong = ((values > _MOST) | np.isnan(values)).all(axis=1)
    else:
        wrong = shares[cell].to_numpy(float) > _MOST
    return shares.loc[truth & wrong]
