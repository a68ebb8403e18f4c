"""Summaries: every planned repeat is a row, and every mean says of how many repeats it is made."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from assay.analysis.results.results import StudyResults
from assay.analysis.summary import Lost, metric_summary, spread_note, tidy, write_summary
from assay.storage import DamagedRecord, Store
from tests.analysis.made_studies import STUDY, lose, make_plan, make_record, make_records, score

PLAN = make_plan()
FOLDS = make_plan(
    STUDY.replace("splits: per_seed", "splits: published").replace("2]}", "2], folds: [0, 1, 2]}")
)


def test_mean_and_spread_are_those_of_the_repeats() -> None:
    for summary in metric_summary(StudyResults(PLAN, make_records(PLAN)), "image_ap"):
        values = [score(trial)["image_ap"] for trial in PLAN.trials if trial.cell == summary.cell.name]
        assert summary.mean == statistics.fmean(values)
        assert summary.spread == statistics.stdev(values)
        assert (summary.n, summary.planned, summary.lost) == (3, 3, ())
        assert summary.spread_of == "3 seeds"


def test_with_prescribed_folds_the_spread_is_over_seeds_of_fold_means() -> None:
    summary = metric_summary(StudyResults(FOLDS, make_records(FOLDS)), "image_ap")[0]
    assert summary.n == 9
    assert summary.spread == pytest.approx(0.01)  # seeds are 0.01 apart; folds, 0.002 apart, do not enter
    assert summary.spread_of == "3 seeds (means over 3 folds)"


def test_a_seed_that_lost_a_fold_counts_in_the_mean_but_not_in_the_spread() -> None:
    records = make_records(FOLDS)
    lost = next(t for t in FOLDS.trials if t.cell == FOLDS.cells[0].name and (t.seed, t.fold) == (2, 1))
    records[lost.id] = lose(lost, "diverged", "NaN loss at epoch 3")
    summary = metric_summary(StudyResults(FOLDS, records), "image_ap")[0]
    assert summary.n == 8
    assert summary.spread == pytest.approx(statistics.stdev([0.0, 0.01]))
    assert summary.spread_of == "2 seeds (means over 3 folds)"
    assert summary.planned_spread_of == "3 seeds (means over 3 folds)"


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((3,), "3 seeds"),
        ((8, 6), "6 to 8 seeds"),
        ((6, 8, 6, 10), "6 to 10 seeds"),
        ((1, 2), "1 seed or 2 seeds"),
    ],
)
def test_a_note_says_once_how_many_repeats_there_are(numbers: tuple[int, ...], said: str) -> None:
    """Where cells are decided one by one, they have different numbers of repeats."""
    seeds = [STUDY.replace("[0, 1, 2]", str(list(range(number)))) for number in numbers]
    plans = [make_plan(text) for text in seeds]
    summaries = [metric_summary(StudyResults(plan, make_records(plan)), "image_ap")[0] for plan in plans]
    assert spread_note(summaries) == f"Mean ± standard deviation over {said}, on test images."


def test_the_note_counts_repeats_that_have_a_value_and_not_those_to_come() -> None:
    plan = make_plan(STUDY.replace("[0, 1, 2]", str(list(range(13)))))
    trained = {trial.id: make_record(trial) for trial in plan.trials if trial.seed < 10}
    summaries = metric_summary(StudyResults(plan, trained), "image_ap")
    assert spread_note(summaries) == "Mean ± standard deviation over 10 seeds, on test images."


def test_of_one_repeat_there_is_no_spread() -> None:
    records = dict(list(make_records(PLAN).items())[:1])
    assert metric_summary(StudyResults(PLAN, records), "image_ap")[0].spread is None


def test_lost_repeats_are_counted_with_their_reasons() -> None:
    records = make_records(PLAN)
    mine = [trial for trial in PLAN.trials if trial.cell == PLAN.cells[0].name]
    records[mine[0].id] = lose(mine[0], "diverged", "NaN loss at epoch 3")
    del records[mine[1].id]
    summary = metric_summary(StudyResults(PLAN, records), "image_ap")[0]
    assert summary.count_text() == "1 of 3: 1 diverged (NaN loss at epoch 3); 1 missing (not trained yet)"


@pytest.mark.parametrize(
    ("undefined", "metric", "reason"),
    [
        ({"image_f1": "no defective image"}, "image_f1", "no defective image"),
        ({}, "pixel_pro", "not measured when it was trained"),
    ],
)
def test_a_metric_without_value_is_lost_with_the_reason_of_its_record(
    undefined: dict[str, str], metric: str, reason: str
) -> None:
    trial = PLAN.trials[0]
    record = make_record(trial, scores=lambda _: {"fp": 1.0})
    assert record.result is not None
    result = record.result.model_copy(update={"undefined": undefined})
    records = {trial.id: record.model_copy(update={"result": result})}
    assert Lost(1, "undefined", reason) in metric_summary(StudyResults(PLAN, records), metric)[0].lost


def test_the_tidy_table_has_the_columns_that_statistics_read() -> None:
    assert tidy(StudyResults(FOLDS, {})).schema.names == [
        "study", "cell", "factor:supervision", "factor:stop", "seed", "fold", "split", "n_train", "n_test",
        "part", "metric", "value", "status", "reason", "trial",
    ]  # fmt: skip


def test_the_tidy_table_holds_every_value_once_under_its_key() -> None:
    rows = tidy(StudyResults(FOLDS, make_records(FOLDS))).to_pylist()
    key = [tuple(r[k] for k in ("study", "cell", "seed", "fold", "part", "metric")) for r in rows]
    assert len(key) == len(set(key)) == len(FOLDS.trials) * 8
    by_trial = {trial.id: trial for trial in FOLDS.trials}
    for row in rows:
        expected = score(by_trial[row["trial"]])[row["metric"]]
        assert row["value"] == (expected if row["part"] == "test" else expected + 0.001)
        assert row["factor:stop"] == by_trial[row["trial"]].levels["stop"]


def test_a_lost_repeat_is_a_row_without_a_value_for_each_reported_metric() -> None:
    diverged, unreadable, *_ = PLAN.trials
    problem = DamagedRecord(unreadable.id, "x", "cut short")
    records = {diverged.id: lose(diverged, "diverged", "NaN")}
    rows = tidy(StudyResults(PLAN, records, (problem,))).to_pylist()
    assert len(rows) == len(PLAN.trials) * 3
    assert all(row["value"] is None for row in rows)
    assert {(r["status"], r["reason"]) for r in rows if r["trial"] == diverged.id} == {("diverged", "NaN")}
    assert {r["reason"] for r in rows if r["trial"] == unreadable.id} == {"its record is damaged"}


def test_the_summary_is_written_beside_the_plan(tmp_path: Path) -> None:
    store = Store(tmp_path)
    table = write_summary(StudyResults(PLAN, make_records(PLAN)), store)
    assert store.read_table("studies/additions/summary.parquet").equals(table)


def test_a_reason_that_is_cut_says_so() -> None:
    sentence = "The way out is `assay run --retry-failed`. " * 11
    assert sentence.strip() in str(Lost(1, "failed", sentence))
    assert str(Lost(1, "failed", sentence * 2)).endswith(" …)")
