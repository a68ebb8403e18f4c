"""The first look at a study: the probe image that its first and its best cell decide most differently, as two
pictures with their counts, and the trial that runs now or is the best cell's. No widgets.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np

from assay.analysis.predictions import measured_records
from assay.analysis.summary import Repeat
from assay.report.masks.payload import Pair, arrange, cell_column
from assay.report.masks.sheets import decision_picture
from assay.report.page.html import escape
from assay.report.tables.cells import base_and_best, in_order
from assay.storage import Record
from assay.storage.search_points import best_points
from assay.study import Trial
from assay.study.planning.repeats import repeat_name
from assay_dashboard import study_view as reading
from trainables.evaluation.heatmaps import THRESHOLD_LEVEL

__all__ = ["TellingPair", "counts_text", "pair_html", "telling_pair", "telling_trial"]

_COUNTS = ("positives", "negatives")  # pixels of defects and of background, by level


class TellingPair(NamedTuple):
    """One image in two cells of one repeat."""

    cells: tuple[str, str]  # the study's first, and the best mean; the worst where the first is the best
    repeat: str
    sample: str
    rows: tuple[Mapping[str, Any], Mapping[str, Any]]  # of `maps.parquet`

    @property
    def has_truth(self) -> bool:
        """True where the image has a defect whose mask is known: pictures then show its outline."""
        return bool(self.rows[0]["label"]) and self.rows[0]["positives"] is not None


def telling_pair(view: reading.StudyView) -> TellingPair | None:
    """The pair; None where no two cells have kept the same image yet.

    Defective images come first: on them both kinds of error can be seen.

    Raises:
        OSError: If a file of a trial is damaged or gone.
    """
    cells = base_and_best(view.results)
    if cells is None:
        return None
    a, b = cells
    for repeat, records in view.kept_maps.items():
        if a in records and b in records:
            pair = _of_repeat(view, repeat, records[a], records[b], (a, b))
            if pair is not None:
                return pair
    return None


def _of_repeat(
    view: reading.StudyView, repeat: Repeat, a: Record, b: Record, cells: tuple[str, str]
) -> TellingPair | None:
    maps = [reading.read_part(view.store, record, "maps.parquet") for record in (a, b)]
    columns = [cell_column(name, table) for name, table in zip(cells, maps, strict=True) if table is not None]
    if len(columns) < 2:
        return None
    pair = Pair(*columns)
    common = [
        sample
        for show in ("defective", None)
        for sample in arrange(columns, sort="disagreement", show=show, pair=pair)
        if sample in pair.a.rows and sample in pair.b.rows
    ]
    if not common:
        return None
    rows = (pair.a.rows[common[0]], pair.b.rows[common[0]])
    return TellingPair(cells, repeat_name(*repeat), common[0], rows)


def telling_trial(view: reading.StudyView) -> Trial | None:
    """The running trial that started last; else the first finished one of the best cell that has one.

    Of a search whose winners have none yet, that of its best point. Where none has finished, the first of
    the plan; None where the plan has none.
    """
    running = [run.trial for run in view.running if run.silent is None]
    if running:
        began = {trial.id: view.store.attempts(trial.id)[-1].started for trial in running}
        return max(running, key=lambda trial: began[trial.id])
    trials, records = view.results.trials, measured_records(view.results)
    finished = [trial for trial in trials if trial.id in records and records[trial.id].status == "finished"]
    results, ranked = view.results, in_order(view.results, view.results.primary)
    drawn = (each for of_cell in results.evaluated_points.values() for each in of_cell)
    ranked = [*ranked, *(each.point.name for each in best_points(results.plan, drawn, 1))]
    of_best = (trial for cell in ranked for trial in finished if trial.cell == cell)
    return next(of_best, next(iter((*finished, *trials)), None))


def pair_html(pair: TellingPair) -> str:
    """Both pictures side by side, with their numbers at each model's own threshold."""
    truth = ", with the truth outlined" if pair.has_truth else ""
    figures = "".join(
        f'<figure><img alt="Decision of {escape(name)} on {escape(pair.sample)}{truth}" '
        f'src="data:image/png;base64,{_png(row)}">'
        f"<figcaption><b>{escape(name)}</b><br>{escape(counts_text(row))}</figcaption></figure>"
        for name, row in zip(pair.cells, pair.rows, strict=True)
    )
    return f'<div class="pair">{figures}</div>'


def counts_text(row: Mapping[str, Any]) -> str:
    """``IoU 0.412 · FP 120 · FN 44 px`` of the image in full; of one without a defect its false pixels."""
    if row["positives"] is None:
        return "its mask is not known"
    positives, negatives = (np.frombuffer(row[name], "<i4").astype(np.int64) for name in _COUNTS)
    hit, false = int(positives[THRESHOLD_LEVEL:].sum()), int(negatives[THRESHOLD_LEVEL:].sum())
    missed = int(positives.sum()) - hit
    if not row["label"]:
        return f"no defect · FP {false:,} px"
    return f"IoU {hit / max(1, hit + false + missed):.3f} · FP {false:,} · FN {missed:,} px"


def _png(row: Mapping[str, Any]) -> str:
    written, data = cv2.imencode(".png", decision_picture(row))
    assert written, "a uint8 image of three channels can be written as PNG"
    return base64.b64encode(data.tobytes()).decode()
