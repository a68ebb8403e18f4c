"""Cells that are shown where not all fit: the base, the best, and those farthest from the base."""

from __future__ import annotations

import pytest

from assay.analysis.results.results import StudyResults
from assay.report.tables.cells import base_and_best, highlighted_cells, in_order
from tests.analysis.made_studies import lose, make_plan, make_record

NAMES = [f"d{number}" for number in range(8)]
LEVELS = ", ".join(f"{name}: {{config: {{delta: 0.{k + 1}}}}}" for k, name in enumerate(NAMES))
PLAN = make_plan(
    f"""
study: rates
question: Which δ pays?
trainable: segdec
data: {{reader: synthetic, splits: per_seed}}
config: {{preset: ksdd, image_size: [128, 64]}}
factors: {{delta: {{{LEVELS}}}}}
design: {{full: all}}
repeats: {{seeds: [0, 1]}}
metrics: {{primary: image_ap}}
"""
)


def results_of(means: list[float]) -> StudyResults:
    of_cell = dict(zip((cell.name for cell in PLAN.cells), means, strict=True))
    records = {t.id: make_record(t, lambda t: {"image_ap": of_cell[t.cell]}) for t in PLAN.trials}
    return StudyResults(PLAN, records)


@pytest.mark.parametrize(
    ("means", "chosen"),
    [
        # Base d0 and best d5, then the farthest: d3 and d6; in the study's order.
        ([0.50, 0.52, 0.49, 0.20, 0.51, 0.90, 0.80, 0.53], ["d0", "d3", "d5", "d6"]),
        # The base is the best: the worst stands for it, and the farthest are the next best.
        ([0.90, 0.52, 0.49, 0.20, 0.51, 0.85, 0.80, 0.53], ["d0", "d3", "d5", "d6"]),
    ],
)
def test_of_more_cells_than_fit_the_farthest_in_mean_are_shown(means: list[float], chosen: list[str]) -> None:
    cells = [cell.name for cell in PLAN.cells]
    shown = highlighted_cells(results_of(means), cells, 4)
    assert [NAMES[cells.index(name)] for name in shown] == chosen


def test_a_cell_is_not_the_best_by_the_repeats_that_did_not_diverge() -> None:
    results = results_of([0.50, 0.52, 0.49, 0.20, 0.51, 0.90, 0.80, 0.53])
    diverged = next(trial for trial in PLAN.trials if trial.cell == PLAN.cells[5].name)
    records = {**results.records, diverged.id: lose(diverged, "diverged")}
    results = StudyResults(PLAN, records)
    cells = [cell.name for cell in PLAN.cells]
    assert base_and_best(results) == (cells[0], cells[6])
    # Of 0.90 and a 0 for what diverged the mean is 0.45.
    assert in_order(results, results.primary)[-2:] == [cells[5], cells[3]]
