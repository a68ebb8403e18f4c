"""A study that names no looks has one, at its planned repeats: until then nothing is a verdict."""

from __future__ import annotations

import numpy as np
import pytest

from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import so_far, study_analysis
from assay.report.page.markdown import markdown_page
from assay.report.pages import study_page
from assay.statistics.interim_looks import decide, expected_trainings
from assay.storage import DamagedRecord, Record
from tests.analysis.made_studies import STUDY, lose, make_plan, make_records, markdown_of

SIX = make_plan(STUDY.replace("[0, 1, 2]", "[0, 1, 2, 3, 4, 5]").replace("per_seed", "published"))
LAST = SIX.trials[-1]


def verdicts(records: dict[str, Record], problems: tuple[DamagedRecord, ...] = ()) -> set[str]:
    analysis = study_analysis(StudyResults(SIX, records, problems))
    families = (analysis.comparisons, analysis.main_effects, analysis.interactions, analysis.further)
    return {result.verdict for family in families for result in family}


def test_before_its_planned_repeats_a_study_has_no_verdict_and_no_bold_cell() -> None:
    records = make_records(SIX)
    assert "interim" not in verdicts(records)
    del records[LAST.id]
    assert verdicts(records) == {"interim"}
    assert study_analysis(StudyResults(SIX, records)).best is None
    text = markdown_of(SIX, records)
    assert "verdicts come at n = 6" in text
    assert "verdicts come when all trials have ended" in text  # of a comparison that has its six


def test_looks_are_counted_as_taken_when_they_have_been() -> None:
    plan = make_plan(STUDY.replace("[0, 1, 2]", "[0, 1, 2, 3, 4, 5, 6]").replace("per_seed", "published"))
    ended = StudyResults(plan, make_records(plan), looks=(6,))
    assert "Answered at 2 numbers of seeds" in markdown_page(study_page(ended))
    waits = {id_: record for id_, record in ended.records.items() if id_ != plan.trials[-1].id}
    page = markdown_page(study_page(StudyResults(plan, waits, looks=(6,))))
    assert "By then answered at 2 numbers of seeds" in page


def test_reckoning_ahead_takes_what_has_ended_for_all() -> None:
    records = {id_: record for id_, record in make_records(SIX).items() if record.trial["seed"] < 4}
    ahead = so_far(StudyResults(SIX, records)).comparisons
    assert {(result.n, result.n_planned) for result in ahead} == {(4, 4)}
    assert "interim" not in {result.verdict for result in ahead}


def test_reckoning_ahead_leaves_out_what_has_no_repeat_yet() -> None:
    cell = SIX.trials[0].cell
    records = {trial.id: make_records(SIX)[trial.id] for trial in SIX.trials if trial.cell == cell}
    assert so_far(StudyResults(SIX, records)).comparisons == ()


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_trial_that_was_lost_for_good_has_ended(status: str) -> None:
    assert "interim" not in verdicts(make_records(SIX) | {LAST.id: lose(LAST, status, "why")})


def test_a_record_that_was_damaged_since_had_been_looked_at() -> None:
    records = make_records(SIX)
    del records[LAST.id]
    damaged = DamagedRecord(LAST.id, f"trials/{LAST.id}/record.json", "not a record")
    assert "interim" not in verdicts(records, (damaged,))


@pytest.mark.parametrize(("seeds", "verdict"), [("[0, 1]", "too few"), ("[0, 1, 2]", "interim")])
def test_a_study_below_six_repeats_waits_for_its_planned_number(seeds: str, verdict: str) -> None:
    plan = make_plan(STUDY.replace("[0, 1, 2]", seeds))
    first = {trial.id: make_records(plan)[trial.id] for trial in plan.trials if trial.seed == 0}
    assert {result.verdict for result in study_analysis(StudyResults(plan, first)).comparisons} == {verdict}


@pytest.mark.parametrize("m", [1, 4])
@pytest.mark.parametrize("looks", [(6, 8, 10, 12, 14), (8, 14), (3, 6)], ids=str)
def test_looks_that_nobody_planned_never_spend_more_than_five_percent(looks: tuple[int, ...], m: int) -> None:
    differences = np.random.default_rng(0).normal(0, 1, (looks[-1], m))
    taken = decide(differences, looks, seed=0, resolve=None, planned=False)
    spent = [look.spent for look in taken.looks]
    assert spent == sorted(spent)
    assert spent[-1] <= 0.05


@pytest.mark.parametrize(("effect", "fewest"), [(0.05, True), (0.01, False)])
def test_large_effects_are_expected_to_take_the_fewest_trainings(effect: float, *, fewest: bool) -> None:
    pairs = [(0, 1), (0, 2)]
    expected = expected_trainings(
        pairs, [1, 1, 1, 1], [8, 10, 20], effect=effect, sd=0.01, resolve=0.01, draws=30
    )
    assert (expected.mean == 4 * 8) == fewest
    assert 4 * 8 <= expected.low <= expected.high <= 8 + 3 * 20  # nothing is asked of the fourth cell


def test_what_has_little_spread_is_expected_to_be_settled_as_negligible() -> None:
    expected = expected_trainings([(0, 1)], [3, 3], [6, 12], effect=0.0, sd=0.001, resolve=0.01, draws=10)
    assert (expected.mean, expected.settled) == (36.0, 1.0)
