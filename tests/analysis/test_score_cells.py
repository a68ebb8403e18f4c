"""Cells of a table of scores that lack a metric, or that no factor tells apart."""

from __future__ import annotations

import pytest

from assay.analysis.results.results import StudyResults
from assay.analysis.scores.score_file import AnalysedScores, ScoreQuestion, analyse_score_file
from assay.analysis.scores.score_table import ColumnNames
from assay.analysis.summary import tidy
from assay.report.pages import score_page
from assay.statistics.scores import Splits
from tests.analysis.made_studies import STUDY, lose, make_plan, make_records
from trainables.errors import InputError

pytestmark = pytest.mark.usefixtures("with_and_without_extras")


def read(text: str, *compared: str) -> AnalysedScores:
    """The verdicts on a text."""
    return analyse_score_file("scores.csv", text.encode(), ScoreQuestion(compared=compared))


@pytest.mark.parametrize("primary", ["ap", "fp"])
def test_a_cell_without_a_single_value_of_a_metric_is_compared_by_the_others(primary: str) -> None:
    rows = [
        f"{cell},{seed},test,ap,0.{seed}{seed + ord(cell) % 3},finished"
        for cell in "abc"
        for seed in (1, 2, 3)
    ]
    false_alarms = [
        f"{cell},{seed},test,fp,{seed + ord(cell)},finished" for cell in "ac" for seed in (1, 2, 3)
    ]
    both = [*rows, *false_alarms] if primary == "ap" else [*false_alarms, *rows]
    scores = read("\n".join(["cell,seed,part,metric,value,status", *both]))
    results = (*scores.analysis.comparisons, *scores.analysis.further)
    complete = {(result.metric, *sorted(result.comparison.split(" → "))): result.n for result in results}
    of_ap = {("ap", a, b): 3 for a, b in ("ab", "ac", "bc")}
    assert complete == of_ap | {("fp", "a", "b"): 0, ("fp", "a", "c"): 3, ("fp", "b", "c"): 0}
    (lost,) = (
        row.lost for row in scores.summary(next(m for m in scores.metrics if m.name == "fp")) if row.lost
    )
    assert [(each.status, each.repeats) for each in lost] == [("undefined", 3)]


@pytest.mark.parametrize("seeds", [(1,), (0, 1, 2)], ids=["one seed", "all seeds"])
def test_a_trial_that_diverged_has_done_so_by_every_metric_of_a_summary(seeds: tuple[int, ...]) -> None:
    plan = make_plan(STUDY)
    (cell, *_) = (cell.name for cell in plan.cells)
    lost = [trial for trial in plan.trials if trial.cell == cell and trial.seed in seeds]
    records = make_records(plan) | {trial.id: lose(trial, "diverged", "NaN loss") for trial in lost}
    scores = read(tidy(StudyResults(plan, records)).to_pandas().to_csv(index=False))
    counts = {
        result.metric: (result.n, result.n_planned, result.n_diverged)
        for result in (*scores.analysis.comparisons, *scores.analysis.further)
        if cell in (result.cell_a, result.cell_b)
    }
    assert "fn" not in plan.study.metrics.report
    expected = (3 - len(seeds), 3, len(seeds))
    assert counts == dict.fromkeys(("image_ap", "fp", "fn", "pixel_iou"), expected)


def test_cells_of_equal_levels_are_compared_by_name_alone() -> None:
    rows = [
        f"{cell}-{stop},{stop},{seed},0.{seed}{gain}"
        for cell in "AB"
        for gain, stop in enumerate(("off", "on"))
        for seed in range(6)
    ]
    text = "\n".join(["cell,factor:stop,seed,score", *rows])
    for compared in ((), ("stop",), ("stop: off -> on",)):
        with pytest.raises(InputError, match=r"A-off and B-off have the same levels \(stop off\)\. Name two"):
            read(text, *compared)
    (result,) = read(text, "A-off -> B-on").analysis.comparisons
    assert (result.cell_b, result.cell_a) == ("A-off", "B-on")


def test_cells_that_differ_in_several_factors_are_compared_only_by_name() -> None:
    rows = [
        f"{level},{level},{seed},0.{seed}{gain}"
        for level, gain in (("off", 1), ("on", 5))
        for seed in (1, 2, 3)
    ]
    table = "\n".join(["blur,flip,seed,ap", *rows])
    columns = ColumnNames(cell=("blur", "flip"))
    with pytest.raises(InputError, match=r"differ in several of blur, flip\. .*--against CELL") as refused:
        analyse_score_file("scores.csv", table.encode(), ScoreQuestion(columns))
    first, second = str(refused.value).partition("The cells are ")[2].rstrip(".").split(", ")
    named = ScoreQuestion(columns, compared=(f"{first} -> {second}",))
    (result,) = analyse_score_file("scores.csv", table.encode(), named).analysis.comparisons
    assert result.comparison == f"{first} → {second}"


@pytest.mark.parametrize("splits", ["prescribed", "per_seed"])
def test_a_seed_that_lacks_a_fold_in_every_cell_is_no_whole_seed(splits: Splits) -> None:
    rows = [
        f"{cell},{seed},{fold},{gain + 0.01 * (seed * 3 % 5) + 0.001 * seed * fold * (cell == 'b')},100,50"
        for cell, gain in (("a", 0.7), ("b", 0.75))
        for seed in range(6)
        for fold in (range(3) if seed < 5 else (0,))
    ]
    text = "\n".join(["cell,seed,fold,ap,n_train,n_test", *rows])
    scores = analyse_score_file("scores.csv", text.encode(), ScoreQuestion(splits=splits))
    result = scores.analysis.comparisons[0]
    assert (result.n, result.n_planned, result.verdict) == (5, 6, "suggested")
    (lost,) = scores.summary(scores.metrics[0])[0].lost
    assert (lost.status, lost.repeats) == ("missing", 2)


def test_where_each_fold_has_a_seed_of_its_own_nothing_is_missing() -> None:
    rows = [f"{cell},{i},{i},{gain + 0.01 * i}" for cell, gain in (("a", 0.7), ("b", 0.75)) for i in range(5)]
    result = read("\n".join(["cell,seed,fold,ap", *rows])).analysis.comparisons[0]
    assert (result.n, result.n_planned) == (5, 5)


def test_what_diverged_did_so_by_every_metric_that_another_cell_has() -> None:
    rows = [f"{cell},{seed},ap,0.{seed}{gain}" for cell, gain in (("a", 1), ("b", 5)) for seed in range(1, 7)]
    rows[0] = "a,1,ap,nan"
    rows += [f"b,{seed},er,0.{seed}" for seed in range(1, 7)]
    rows += [f"a,{seed},er,0.{seed}" for seed in range(2, 7)]
    scores = read("\n".join(["cell,seed,metric,value", *rows]))
    of_a = scores.summary(scores.metrics[1])[0]
    assert [lost.status for lost in of_a.lost] == ["diverged"]


@pytest.mark.parametrize(("scale", "decimals"), [(1.0, 3), (0.001, 5), (0.0001, 6)])
def test_small_shares_are_not_written_as_0(scale: float, decimals: int) -> None:
    rows = [f"{c},{s},{scale * (g + 0.01 * s)}" for c, g in (("a", 0.2), ("b", 0.4)) for s in range(1, 7)]
    assert read("\n".join(["cell,seed,ap", *rows])).metrics[0].decimals == decimals


def test_a_mean_over_seeds_with_fewer_folds_has_no_interval_that_leaves_it_out() -> None:
    repeats = [(0, fold) for fold in range(10)] + [(seed, 0) for seed in range(1, 6)]
    rows = [f"{cell},{s},{f},{0.4 + 0.04 * f + 0.01 * (s * 3 % 5)}" for cell in "ab" for s, f in repeats]
    scores = read("\n".join(["cell,seed,fold,ap", *rows]))
    assert not scores.analysis.intervals("ap")


def means(text: str) -> list[str]:
    """Cell by cell, as the page writes them."""
    return [str(row[1]) for row in score_page(read(text)).table.rows]


def test_a_cell_of_small_scores_beside_one_of_large_ones_is_not_written_as_0() -> None:
    losses = {"a": (0.021, 0.022, 0.024), "b": (0.011, 0.012, 0.012), "broken": (3.0, 50000.0, 40.0)}
    rows = [f"{cell},{seed},{loss}" for cell, of_cell in losses.items() for seed, loss in enumerate(of_cell)]
    assert means("\n".join(["cell,seed,loss", *rows]))[:2] == ["0.022 ± 0.002", "0.012 ± 0.001"]
