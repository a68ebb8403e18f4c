"""A study that decides: what is needed next follows from plan and records alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from assay.analysis.decisions import study_decisions
from assay.analysis.results.reading import needed_plan
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.storage import Record
from assay.study import Plan, Trial
from assay.study.planning.plan_table import plan_of_table, table_of_plan
from tests.analysis.made_studies import STUDY, lose, make_plan, make_record, markdown_of
from trainables.errors import InputError

DECIDES = STUDY.replace("{seeds: [0, 1, 2]}", "{decide: [8, 10, 13]}\nresolve: 0.02")
NOISE = (0.3, -0.6, 0.1, 0.9, -0.8, 0.5, -0.2, -0.4, 0.7, 0.2, -0.9, 0.6, -0.1)


def scores(trial: Trial, gain: float = 0.06) -> dict[str, float]:
    """``stop`` gains 0.4; ``supervision`` with it nothing, and without it something that is hard to tell."""
    on, full = trial.levels["stop"] == "on", trial.levels["supervision"] == "full"
    noise = NOISE[(trial.seed + 3 * on + 5 * full) % len(NOISE)]
    unsure = 0.2 * NOISE[trial.seed] if full and not on else 0.0
    ap = 0.5 + 0.4 * on + 0.001 * noise + (gain * (full and not on) + unsure)
    return {"image_ap": ap, "fp": 3.0, "fn": 1.0, "pixel_iou": 0.5}


def hopeless(trial: Trial) -> dict[str, float]:
    """The unsure gain is as large as `resolve`, a sixth of its spread."""
    return scores(trial, gain=0.02)


def trained(
    plan: Plan, most: int = 9, made: Callable[[Trial], dict[str, float]] = scores
) -> dict[str, Record]:
    """Records of what is needed, at most so many rounds, as an engine makes them."""
    records: dict[str, Record] = {}
    for _ in range(most):
        missing = [trial for trial in needed_plan(plan, records).trials if trial.id not in records]
        records |= {trial.id: make_record(trial, made) for trial in missing}
    return records


def seeds_of(records: dict[str, Record], plan: Plan) -> dict[str, int]:
    return {
        cell.name: sum(trial.cell == cell.name and trial.id in records for trial in plan.trials)
        for cell in plan.cells
    }


PLAN = make_plan(DECIDES)


def test_all_cells_train_up_to_the_first_look_and_then_only_those_of_undecided_comparisons() -> None:
    assert set(seeds_of(trained(PLAN, 1), PLAN).values()) == {8}
    assert seeds_of(trained(PLAN), PLAN) == {
        "supervision=few stop=off": 13,
        "supervision=few stop=on": 8,
        "supervision=full stop=off": 13,
        "supervision=full stop=on": 8,
    }


def test_the_display_says_what_is_settled_and_what_goes_on() -> None:
    records = trained(PLAN, 1)
    decisions = study_decisions(StudyResults(PLAN, records))
    assert str(decisions) == "3 of 4 comparisons settled, 2 variants go on to 10 seeds"
    assert str(study_decisions(StudyResults(PLAN, trained(PLAN)))) == (
        "3 of 4 comparisons settled, 1 undecided after 13 seeds"
    )


def test_what_is_given_up_trains_no_further_and_stays_open() -> None:
    results = StudyResults(PLAN, trained(PLAN, made=hopeless))
    assert str(study_decisions(results)) == "3 of 4 comparisons settled, 1 given up"
    assert set(seeds_of(dict(results.records), PLAN).values()) == {8}
    (given_up,) = (each for each in study_analysis(results).comparisons if each.verdict == "open")
    assert "given up at n = 8: 13 would hardly settle it" in given_up.note


def test_whatever_order_trainings_end_in_the_decisions_are_the_same() -> None:
    final = trained(PLAN)
    one_by_one: dict[str, Record] = {}
    while missing := [t for t in needed_plan(PLAN, one_by_one).trials if t.id not in one_by_one]:
        trial = missing[len(one_by_one) * 7919 % len(missing)]
        one_by_one[trial.id] = make_record(trial, scores)
    assert one_by_one.keys() == final.keys()


def test_records_of_other_studies_beyond_what_is_needed_change_nothing() -> None:
    everything = {trial.id: make_record(trial, scores) for trial in PLAN.trials}
    assert {trial.id for trial in needed_plan(PLAN, everything).trials} == trained(PLAN).keys()


def test_a_study_that_decides_has_the_trials_of_one_with_as_many_seeds() -> None:
    listed = STUDY.replace("[0, 1, 2]", str(list(range(13))))
    assert [trial.id for trial in PLAN.trials] == [trial.id for trial in make_plan(listed).trials]
    assert plan_of_table(table_of_plan(PLAN)) == PLAN


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ("[8, 10, 13]", "[8]", "found \\[8\\]"),
        ("[8, 10, 13]", "[8, 13, 10]", "each with more seeds than the one before .*, found \\[8, 13, 10\\]"),
        ("[8, 10, 13]", "[3, 10]", "greater than or equal to 6"),
        ("resolve: 0.02", "", "needs `resolve`"),
        ("decide:", "seeds: [0, 1], decide:", "ends at 13 seeds, found 2"),
        (
            "comparisons: [{factor: stop}, {factor: supervision, from: few, to: full}]",
            "comparisons: []",
            "compares nothing",
        ),
    ],
)
def test_a_study_that_cannot_decide_is_refused(before: str, after: str, rule: str) -> None:
    assert before in DECIDES
    with pytest.raises(InputError, match=rule):
        make_plan(DECIDES.replace(before, after))


def verdicts(records: dict[str, Record]) -> list[str]:
    return [result.verdict for result in study_analysis(StudyResults(PLAN, records)).comparisons]


@pytest.mark.parametrize(("diverged", "verdict"), [((), "identical"), ((2,), "open")])
def test_cells_that_tie_are_identical_and_open_where_both_diverged_with_a_seed(
    diverged: tuple[int, ...], verdict: str
) -> None:
    plan = make_plan(ONE_COMPARISON)

    def equal(trial: Trial) -> dict[str, float]:
        return {"image_ap": 0.5 + 0.01 * trial.seed, "fp": 3.0, "pixel_iou": 0.5}

    records = {trial.id: make_record(trial, equal) for trial in plan.trials}
    records |= {t.id: lose(t, "diverged", "NaN loss") for t in plan.trials if t.seed in diverged}
    (comparison,) = study_analysis(StudyResults(plan, records)).comparisons
    assert comparison.verdict == verdict


def test_a_page_in_between_shows_no_verdict_that_may_change() -> None:
    rounds = [trained(PLAN, most) for most in (0, 1, 2)]
    assert verdicts(rounds[0]) == ["interim"] * 4
    assert verdicts(rounds[1]) == ["shown", "shown", "interim", "negligible"]
    assert verdicts(rounds[2])[:2] == ["shown", "shown"]
    analysis = study_analysis(StudyResults(PLAN, rounds[1]))
    others = (*analysis.main_effects, *analysis.interactions, *analysis.further)
    assert {result.verdict for result in others} == {"interim"}
    assert {result.p_adjusted for result in others} == {None}
    assert analysis.best is None


def test_a_part_that_asks_whether_it_can_go_is_settled_at_a_look() -> None:
    """Of ``supervision`` with ``stop``, which gains nothing, and of the one that is hard to tell."""
    ask = "{factor: supervision, from: few, to: full, ask: can go}"
    plan = make_plan(DECIDES.replace("{factor: supervision, from: few, to: full}", ask))
    assert [trial.id for trial in plan.trials] == [trial.id for trial in PLAN.trials]
    results = study_analysis(StudyResults(plan, trained(plan))).comparisons
    assert [result.verdict for result in results][:2] == ["shown", "shown"]
    can_go = results[3]
    assert (can_go.verdict, can_go.n, can_go.ask) == ("dispensable", 8, "can go")
    assert can_go.p_can_go is not None
    assert can_go.p_can_go <= 0.05
    assert can_go.verdict_p == can_go.p_can_go
    assert can_go.loses_at_most is not None
    assert can_go.loses_at_most < 0.02


def test_a_comparison_stands_as_it_was_when_it_was_settled() -> None:
    final = study_analysis(StudyResults(PLAN, trained(PLAN)))
    assert [result.n for result in final.comparisons] == [8, 8, 13, 8]
    assert final.comparisons[2].verdict == "open"


def test_the_page_says_at_how_many_seeds_verdicts_come() -> None:
    text = markdown_of(needed_plan(PLAN, {}), {})
    assert "verdicts come at n = 8" in text
    assert "Verdicts come at 8, 10, 13 seeds, `resolve` is 0.02: 0 of 4 comparisons settled" in text


ONE_COMPARISON = DECIDES.replace(
    "{full: all}", "{rows: [{supervision: full, stop: off}, {supervision: few, stop: off}]}"
).replace("{factor: stop}, ", "")


@pytest.mark.parametrize(
    ("text", "over"),
    [
        (DECIDES, "over the planned looks and the largest of 4 comparisons."),
        (ONE_COMPARISON, "over the planned looks."),
    ],
    ids=["four comparisons", "one comparison"],
)
def test_the_page_says_over_what_the_p_of_planned_looks_goes(text: str, over: str) -> None:
    plan = make_plan(text)
    assert over in markdown_of(plan, trained(plan))


ON_ONE_SPLIT = DECIDES.replace("splits: per_seed", "splits: published")


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        (DECIDES, "this data"),
        (ON_ONE_SPLIT.replace("{decide:", "{folds: [0, 1, 2], decide:"), "these folds"),
        (ON_ONE_SPLIT, None),
    ],
)
def test_the_page_says_that_looks_decide_the_narrowest_claim_alone(text: str, claim: str | None) -> None:
    plan = make_plan(text)
    page = markdown_of(plan, {trial.id: make_record(trial, scores) for trial in plan.trials})
    assert ("for new data no look is planned" in page) == (claim is not None)
    assert claim is None or f"They hold for {claim} alone" in page


def test_where_looks_are_planned_nothing_is_compared_for_new_data() -> None:
    analysis = study_analysis(StudyResults(PLAN, trained(PLAN)))
    groups = (analysis.comparisons, analysis.main_effects, analysis.interactions, analysis.further)
    assert [{result.claim for result in group} for group in groups] == [{"this data"}] * 4


@pytest.mark.parametrize(
    ("line", "of"),
    [
        ("", "sign flips of whole repeats that"),
        ("exact_test: wilcoxon\n", "of whole repeats, of signed ranks,"),
    ],
)
def test_the_page_says_what_the_planned_looks_test(line: str, of: str) -> None:
    plan = make_plan(DECIDES + line)
    assert of in markdown_of(plan, trained(plan))
