"""Wrong decisions on all test images, cell by cell over its repeats. No widgets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from assay_dashboard import study_view as reading

__all__ = ["KINDS", "Kind", "has_predictions", "of_kind", "wrong_shares"]

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


def of_kind(shares: pd.DataFrame, kind: Kind | None, cell: str) -> pd.DataFrame:
    """The images of one kind, wrong in most repeats of ``cell`` (or of all); None: wrong in any repeat.

    All: those that were tested on the image.
    """
    cells = [name for name in shares.columns if name not in _IMAGE]
    values = shares[cells].to_numpy(float)
    if kind is None:
        return shares.loc[(values > 0).any(axis=1)]
    truth = shares["true label"].to_numpy() == ("normal" if kind == "false alarms" else "defective")
    if kind == "missed by all":
        wrong = ((values > _MOST) | np.isnan(values)).all(axis=1)
    else:
        wrong = shares[cell].to_numpy(float) > _MOST
    return shares.loc[truth & wrong]
