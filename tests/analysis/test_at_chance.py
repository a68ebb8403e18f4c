"""Repeats that no better than chance: which they are, and how a report counts them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from assay.analysis.predictions import CHANCE_NOTE, AtChance, cells_at_chance, is_at_chance
from assay.analysis.results.results import StudyResults
from assay.analysis.summary import metric_summary
from assay.report.page.markdown import markdown_page
from assay.report.pages import study_page
from assay.report.rows import cell_table, to_csv
from assay.storage import Store
from tests.analysis.made_studies import STUDY, make_plan, make_records, with_predictions

PLAN = make_plan()
CELL = PLAN.cells[1].name


def study_with(store: Store, *shifts: float, text: str = STUDY) -> StudyResults:
    """The study whose second cell has repeats that rank by so much; the others all rank well."""
    plan = make_plan(text)
    left = list(shifts)
    records = {
        trial.id: with_predictions(store, record, number, left.pop(0) if trial.cell == CELL and left else 3.0)
        for number, (trial, record) in enumerate(zip(plan.trials, make_records(plan).values(), strict=True))
    }
    return StudyResults(plan, records, store=store, read_part=store.read_part)


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([0] * 10 + [1] * 5, range(15), False),
        ([1] * 5 + [0] * 10, range(15), True),
        ([1, 0] * 8, [0.5] * 16, True),
        ([0] * 10 + [1], range(11), None),
        ([1] * 10, range(10), None),
    ],
    ids=["perfect", "upside down", "one score for all", "too few to tell", "one class"],
)
def test_a_repeat_is_at_chance_where_it_ranks_no_better_than_a_random_order(
    labels: Sequence[int], scores: Sequence[float], expected: bool | None
) -> None:
    assert is_at_chance(np.array(labels, np.bool_), np.array(scores, np.float64)) is expected


def test_of_models_that_know_nothing_one_in_twenty_is_missed() -> None:
    rng = np.random.default_rng(0)
    counted = [is_at_chance(np.arange(135) < 18, rng.normal(size=135)) for _ in range(300)]
    assert np.mean(counted) == pytest.approx(0.95, abs=0.03)


def test_a_report_counts_them_and_shows_medians_beside_means(tmp_path: Path) -> None:
    results = study_with(Store(str(tmp_path)), -3.0)
    assert cells_at_chance(results) == {CELL: AtChance(3, 1)}
    page = markdown_page(study_page(results))
    assert "- ¹ all masks, stop: 1 of 3 no better than chance" in page
    assert page.count(CHANCE_NOTE) == 1
    assert [column.title for column in study_page(results).table.columns][2:4] == ["AP ↑", "median"]
    rows = list(csv.DictReader(io.StringIO(to_csv(cell_table(results)))))
    of_cell = {row["metric"]: row for row in rows if row["cell"] == CELL}
    assert of_cell["image_ap"]["at_chance"] == "1"
    assert of_cell["fp"]["at_chance"] == ""
    assert float(of_cell["image_ap"]["median"]) == pytest.approx(
        metric_summary(results, "image_ap")[1].median
    )


@pytest.mark.parametrize("primary", ["image_ap", "pixel_iou"])
def test_a_report_without_them_says_nothing_of_chance_unless_medians_are_asked_for(
    primary: str, tmp_path: Path
) -> None:
    shift = 3.0 if primary == "image_ap" else -3.0  # pixels answer the question: images are not asked
    text = STUDY.replace("primary: image_ap", f"primary: {primary}").replace("pixel_iou]", "fn]")
    results = study_with(Store(str(tmp_path)), shift, text=text)
    assert "median" not in markdown_page(study_page(results)) + to_csv(cell_table(results))
    page = markdown_page(study_page(results.with_medians()))
    assert "median |" in page
    assert "left chance" not in page
