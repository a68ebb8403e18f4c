"""What a study asks for reaches the statistics."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.analysis.results.results import StudyResults
from assay.analysis.scores.score_analysis import ScoreAnalysis, ScoreTables
from assay.analysis.study_analysis import score_tables, study_analysis
from assay.statistics.contrasts import comparison
from assay.statistics.families import Rules
from assay.study import Trial
from tests.analysis.made_studies import STUDY, make_plan, make_record, markdown_of
from tests.statistics.tables import tidy_table
from trainables.errors import InputError
from trainables.evaluation.metrics import METRICS

ON_ONE_SPLIT = STUDY.replace(", splits: per_seed", "").replace("[0, 1, 2]", str(list(range(9))))


def failing_once(trial: Trial) -> dict[str, float]:
    """`stop: on` gains by seed, and loses 0.4 on seed 3."""
    gain = (-0.4 if trial.seed == 3 else 0.01 * (trial.seed + 1)) * (trial.levels["stop"] == "on")
    return {"image_ap": 0.6 + 0.01 * trial.seed + gain, "fp": 3.0, "pixel_iou": 0.5}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("", "exact sign-flip test"),
        ("exact_test: sign-flip\n", "exact sign-flip test"),
        ("exact_test: wilcoxon\n", "exact Wilcoxon signed-rank test"),
    ],
)
def test_p_comes_from_the_test_that_the_study_names(line: str, name: str) -> None:
    plan = make_plan(ON_ONE_SPLIT + line)
    records = {trial.id: make_record(trial, failing_once) for trial in plan.trials}
    comparison = study_analysis(StudyResults(plan, records)).comparisons[0]
    ranks = float(stats.wilcoxon(comparison.differences).pvalue)
    assert (comparison.p == pytest.approx(ranks)) is ("Wilcoxon" in name)
    assert name in markdown_of(plan, records)


def test_the_exact_test_changes_no_trial() -> None:
    ids = [[trial.id for trial in make_plan(STUDY + line).trials] for line in ("", "exact_test: wilcoxon\n")]
    assert ids[0] == ids[1]


def test_another_test_is_refused() -> None:
    with pytest.raises(InputError, match="exact_test"):
        make_plan(STUDY + "exact_test: anova\n")


def test_a_group_of_results_is_not_computed_before_it_is_asked_for() -> None:
    plan = make_plan()
    tables = score_tables(StudyResults(plan, {trial.id: make_record(trial) for trial in plan.trials}))
    analysis = ScoreAnalysis(tables, comparisons=lambda: pytest.fail("nobody asked for the comparisons"))
    names = {result.comparison for result in analysis.main_effects}
    assert names == {"supervision: full → few", "stop: off → on"}


@pytest.mark.parametrize(
    ("gains", "resolve", "earlier_looks", "verdict", "bold"),
    [
        ([0.018, 0.004, -0.031, 0.072, 0.029, 0.106, 0.055, 0.038], None, (), "shown", {"b"}),
        ([0.018, 0.004, -0.031, 0.072, 0.029, 0.106, 0.055, 0.038], None, (6,), "open", set()),
        ([0.001, 0.002, 0.003, 0.002, 0.001], None, (), "suggested", {"b"}),
        ([0.001, 0.002, 0.003, 0.002, 0.001], 0.01, (), "negligible", set()),
    ],
)
def test_bold_is_tested_as_the_comparison_beside_it(
    gains: list[float], resolve: float | None, earlier_looks: tuple[int, ...], verdict: str, bold: set[str]
) -> None:
    base = 0.8 + 0.05 * np.random.default_rng(0).standard_normal(len(gains))
    table = tidy_table({"a": base, "b": base + np.array(gains)})
    tables = ScoreTables(
        metrics=[METRICS["image_ap"]],
        table=lambda _: table,
        contrasts=[comparison("x: a → b", "a", "b")],
        rules=Rules(resolve=resolve, earlier_looks=earlier_looks),
        smallest_step=lambda _: None,
    )
    analysis = ScoreAnalysis(tables)
    assert analysis.comparisons[0].verdict == verdict
    assert analysis.best is not None
    assert analysis.best.cells == bold
