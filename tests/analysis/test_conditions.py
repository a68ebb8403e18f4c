"""Differences under other conditions: from made scores to a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from assay.analysis.conditions import condition_findings
from assay.analysis.results.results import StudyResults
from assay.analysis.results.search_results import results_of_records
from assay.analysis.scores.score_table import ColumnNames, read_score_table
from assay.analysis.summary import metric_table, tidy
from assay.report.answers.results import report_answer
from assay.report.tables.conditions import condition_section
from assay.storage import Store
from assay.storage.conditions import ConditionResult, write_condition
from assay.study import Trial
from tests.analysis.made_studies import lose, make_plan, make_record
from trainables.data.conditions import Condition

STUDY = """
study: made
trainable: segdec
data: {reader: synthetic, splits: per_seed}
config: {preset: ksdd, image_size: [128, 64]}
factors: {stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}}
design: {full: all}
comparisons: [{factor: stop}]
repeats: {seeds: [0, 1, 2, 3, 4, 5, 6, 7]}
metrics: {primary: image_ap}
test_under: {light: [0.5]}
"""
Gain = Callable[[Trial], float]


def score(trial: Trial, gain: float, of: int) -> float:
    """Scores around 0.5 whose second cell gains something, each a little more or less."""
    noise = np.random.default_rng([trial.seed, of, trial.levels["stop"] == "on"]).normal(0, 0.005)
    return 0.5 + gain * (trial.levels["stop"] == "on") + float(noise)


def made(storage: Path, plain: float, under: float, text: str = STUDY, evaluated: int = 8) -> StudyResults:
    """A study whose second cell gains ``plain``, and ``under`` at half the light."""
    store, plan = Store(storage), make_plan(text)
    records = {
        trial.id: make_record(trial, lambda trial: {"image_ap": score(trial, plain, 1)})
        for trial in plan.trials
    }
    for trial in plan.trials:
        if trial.seed < evaluated:
            write_condition(store, trial.id, evaluation(trial, score(trial, under, 2)))
    return results_of_records(plan, records, store=store)


def evaluation(trial: Trial, ap: float) -> ConditionResult:
    return ConditionResult(
        condition=Condition(kind="light", amount=0.5),
        weights_hash=trial.id,
        image_threshold=0.4,
        pixel_threshold=0.5,
        metrics={"image_ap": ap},
        n_test=60,
    )


@pytest.mark.parametrize(
    ("plain", "under", "resolve", "word"),
    [
        (0.1, 0.1, None, "holds"),
        (0.1, 0.2, None, "holds"),  # and grows
        (0.1, 0.04, None, "shrinks"),
        (0.1, 0.0, None, "shrinks"),
        (0.1, -0.1, None, "turns"),
        (-0.1, 0.1, None, "turns"),
        (0.0, 0.0, None, "not decided"),
        (0.0, 0.1, None, "appears"),
        (0.0, -0.1, 0.05, "appears"),
        (0.0, 0.0, 0.05, "holds"),  # it changes by less than is worth knowing
    ],
)
def test_word_of_a_difference(
    tmp_path: Path, plain: float, under: float, resolve: float | None, word: str
) -> None:
    text = STUDY if resolve is None else f"{STUDY}resolve: {resolve}\n"
    (finding,) = condition_findings(made(tmp_path, plain, under, text))
    assert finding.word == word
    assert finding.under.difference == pytest.approx(under, abs=0.01)
    assert finding.interaction.difference == pytest.approx(under - plain, abs=0.01)


def test_interaction_is_paired_by_repeat(tmp_path: Path) -> None:
    (finding,) = condition_findings(made(tmp_path, 0.1, 0.02))
    assert finding.interaction.differences == pytest.approx(
        np.subtract(finding.under.differences, finding.plain.differences)
    )


def test_no_verdict_while_the_study_goes_on(tmp_path: Path) -> None:
    results = made(tmp_path, 0.1, -0.1)
    records = dict(results.records)
    records.popitem()
    (finding,) = condition_findings(results_of_records(results.plan, records, store=results.store))
    assert finding.word == "not decided"


def test_repeats_that_were_not_evaluated_are_told(tmp_path: Path) -> None:
    section = condition_section(made(tmp_path, 0.1, 0.1, evaluated=5))
    assert section is not None
    assert "3 repeats of a row were not evaluated" in section.notes[-1]
    assert condition_section(made(tmp_path / "none", 0.1, 0.1, evaluated=0)) is None


def test_summary_has_rows_of_conditions_beside_the_plain_ones(tmp_path: Path) -> None:
    results = made(tmp_path, 0.1, 0.02, evaluated=7)
    diverged = results.plan.trials[0]
    records = {**results.records, diverged.id: lose(diverged, "diverged", "NaN loss")}
    results = results_of_records(results.plan, records, store=results.store)
    table = tidy(results).to_pandas()
    plain, under = table[table["part"] == "test"], table[table["part"] == "test_under"]
    assert plain["condition"].isna().all()
    assert plain.drop(columns="condition").equals(
        tidy(without_conditions(results)).to_pandas().query("part == 'test'")
    )
    assert set(under["condition"]) == {"light × 0.5"}
    under = under[under["metric"] == "image_ap"]
    assert under["status"].value_counts().to_dict() == {"finished": 13, "missing": 2, "diverged": 1}

    # Whoever reads a table of scores reads the plain rows alone.
    read = read_score_table(table.to_csv(index=False).encode(), ColumnNames(score=("image_ap",)), "s.csv")
    assert len(read.table) == len(metric_table(results, "image_ap"))


def without_conditions(results: StudyResults) -> StudyResults:
    study = results.plan.study.model_copy(update={"test_under": None})
    return results_of_records(results.plan.model_copy(update={"study": study}), results.records)


def test_a_program_gets_what_the_table_says(tmp_path: Path) -> None:
    results = made(tmp_path, 0.1, -0.1)
    (row,) = report_answer(results).conditions
    section = condition_section(results)
    assert section is not None
    assert section.table is not None
    (shown,) = section.table.rows
    assert (row.change, row.condition, row.word) == (shown[0], shown[1], shown[-1])
    assert (row.word, row.n) == ("turns", 8)
    assert report_answer(without_conditions(results)).conditions == ()
