"""The answer of a study in sentences: which verdict stands where, and in which numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.report.headline import Answer, AnswerGroup, study_answer
from assay.report.tables.comparisons import comparison_sections
from assay.statistics.wording import claimed_text, negligible_text, settle_text
from assay.study import Trial
from tests.analysis.made_studies import lose, make_plan, make_record

SWITCH = """
study: switch
question: Does the stop pay?
trainable: segdec
data: {reader: synthetic, splits: published}
config: {preset: ksdd, image_size: [128, 64]}
factors: {stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}}
design: {full: all}
comparisons: [{factor: stop}]
resolve: 0.01
repeats: {seeds: [0, 1, 2, 3, 4, 5, 6, 7]}
metrics: {primary: image_ap, report: [fp]}
"""
FACTORIAL = SWITCH.replace(
    "gradient_stop: true}}}}",
    "gradient_stop: true}}}, distance: {off: {config: {distance_weights: false}}, "
    "on: {config: {distance_weights: true}}}}",
).replace("[{factor: stop}]", "[{factor: stop}, {factor: distance}]")


def results_of(gain: float, noise: float = 0.002, text: str = SWITCH) -> StudyResults:
    """A study whose stop changes AP by ``gain``, give or take ``noise``."""
    plan = make_plan(text)

    def of(trial: Trial) -> float:
        changed = trial.levels["stop"] in ("on", "long")
        spread = np.random.default_rng([trial.seed, int(changed)]).normal(0, noise)
        return 0.8 + gain * changed + float(spread)

    records = {
        trial.id: make_record(trial, lambda trial: {"image_ap": of(trial), "fp": 1.0})
        for trial in plan.trials
    }
    return StudyResults(plan, records)


def answer_of(results: StudyResults) -> Answer:
    answer = study_answer(results)
    assert answer is not None
    return answer


def group(answer: Answer, title: str) -> AnswerGroup:
    return next(group for group in answer.groups if group.title == title)


@pytest.mark.parametrize(
    ("gain", "noise", "titles"),
    [
        (0.05, 0.002, ["Pays"]),
        (-0.05, 0.002, ["Pays", "Costs"]),
        (0.0, 0.002, ["Pays", "Can go"]),
        (0.005, 0.0005, ["Pays", "Small"]),
        (-0.005, 0.0005, ["Pays", "Small"]),
        (0.0, 0.0, ["Pays", "Every repeat ties"]),
        (0.0, 0.05, ["Pays", "Open"]),
    ],
)
def test_a_verdict_stands_under_what_it_means_for_the_reader(
    gain: float, noise: float, titles: list[str]
) -> None:
    answer = answer_of(results_of(gain, noise))
    assert [group.title for group in answer.groups] == titles
    assert ("to pay" in group(answer, "Pays").sentences[0]) == (gain < 0.05)


def test_a_difference_that_is_shown_and_too_small_to_matter_says_so() -> None:
    (sentence,) = group(answer_of(results_of(0.005, 0.0005)), "Small").sentences
    assert sentence.endswith("There is a difference, of less than 0.01.")


@pytest.mark.parametrize(
    ("resolve", "title"),
    [("", "Every repeat ties"), ("resolve: 0.8", "Every repeat ties"), ("resolve: 2", "Can go")],
)
def test_where_every_repeat_ties_it_can_go_only_if_the_interval_is_within_resolve(
    resolve: str, title: str
) -> None:
    text = SWITCH.replace("resolve: 0.01", resolve).replace(
        "primary: image_ap, report: [fp]", "primary: fp, report: []"
    )
    (comparison,) = study_analysis(results_of(0.0, text=text)).comparisons
    assert (comparison.low, comparison.high) == pytest.approx((-0.836, 0.836), abs=0.001)
    assert [group.title for group in answer_of(results_of(0.0, text=text)).groups] == ["Pays", title]


def test_of_two_methods_that_do_not_differ_none_can_go() -> None:
    text = SWITCH.replace("off: {config: {gradient", "short: {config: {gradient").replace("on: {", "long: {")
    results = results_of(0.0, text=text)
    assert [group.title for group in answer_of(results).groups] == ["Pays", "No difference"]


@pytest.mark.parametrize(
    ("gain", "noise", "title", "words"),
    [
        (0.05, 0.002, "Pays", claimed_text),
        (0.0, 0.002, "Can go", negligible_text),
        (0.0, 0.05, "Open", claimed_text),
    ],
)
def test_a_sentence_has_the_words_of_the_reports_result(
    gain: float, noise: float, title: str, words: Callable[..., str]
) -> None:
    results = results_of(gain, noise)
    (comparison,) = study_analysis(results).comparisons
    assert words(comparison) in group(answer_of(results), title).sentences[0]


def test_what_is_open_says_what_would_settle_it() -> None:
    results = results_of(0.0, 0.05)
    (comparison,) = study_analysis(results).comparisons
    assert settle_text(comparison) in group(answer_of(results), "Open").takes


def test_a_kind_names_its_first_results_and_counts_the_others() -> None:
    answer = study_answer(results_of(0.05, text=FACTORIAL), most=1)
    assert answer is not None
    of_kind = [(kind.title, len(kind.results), len(kind.named), kind.left_out) for kind in answer.groups]
    assert of_kind == [("Pays", 1, 1, 0), ("Every repeat ties", 1, 1, 0)]
    nothing = group(answer_of(results_of(0.0)), "Pays")
    assert (nothing.sentences, nothing.results, nothing.left_out) == (("Nothing is shown to pay.",), (), 0)


def test_main_effects_answer_where_the_design_has_them() -> None:
    results = results_of(0.05, text=FACTORIAL)
    assert answer_of(results).results == study_analysis(results).main_effects


def test_comparisons_answer_where_a_lost_cell_leaves_no_main_effect() -> None:
    whole = results_of(0.05, text=FACTORIAL)
    of_cell = [trial for trial in whole.plan.trials if trial.cell == whole.plan.cells[0].name]
    lost = {trial.id: lose(trial, "failed", "out of memory") for trial in of_cell}
    results = StudyResults(whole.plan, {**whole.records, **lost})
    assert {effect.difference for effect in study_analysis(results).main_effects} == {None}
    answer = answer_of(results)
    assert (answer.results, answer.effects) == (study_analysis(results).comparisons, False)
    (sentence,) = group(answer, "Pays").sentences
    assert sentence.startswith("stop: off → on, distance: +0.049")


@pytest.mark.parametrize(
    ("levels", "names"),
    [(2, "length: l0 → l1"), (3, "length: l0 → l1; length: l0 → l2"), (8, "length: l0 → l5 and 2 more")],
)
def test_a_note_names_all_comparisons_that_it_is_about(levels: int, names: str) -> None:
    of_level = ", ".join(f"l{i}: {{config: {{epochs: {i + 1}}}}}" for i in range(levels))
    text = SWITCH.replace(
        "stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}",
        f"length: {{{of_level}}}",
    ).replace("[{factor: stop}]", "[{factor: length, from: l0}]")
    plan = make_plan(text)

    def scores(trial: Trial) -> dict[str, float]:
        # The gain is the same each time but once, where it is more.
        return {
            "image_ap": 0.7 + (0.05 + 0.03 * (trial.seed == 3)) * (trial.levels["length"] != "l0"),
            "fp": 1.0,
        }

    results = StudyResults(plan, {trial.id: make_record(trial, scores) for trial in plan.trials})
    (note,) = answer_of(results).notes
    assert note.partition(": one-sided spread")[0].endswith(names)


@pytest.mark.parametrize(
    ("gain", "more", "verdict"), [(0.05, 0.03, "shown"), (0.0, 0.03, "open"), (0.0, 0.01, "negligible")]
)
def test_an_approximate_interval_is_noted_whatever_its_verdict(
    gain: float, more: float, verdict: str
) -> None:
    plan = make_plan(SWITCH)

    def scores(trial: Trial) -> dict[str, float]:
        # One repeat of eight has more than the others.
        return {
            "image_ap": 0.7 + (gain + more * (trial.seed == 3)) * (trial.levels["stop"] == "on"),
            "fp": 1.0,
        }

    answer = answer_of(StudyResults(plan, {trial.id: make_record(trial, scores) for trial in plan.trials}))
    assert [result.verdict for result in answer.results] == [verdict]
    assert any(note.startswith("stop: off → on: one-sided spread") for note in answer.notes)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_before_verdicts_come_the_answer_has_no_notes(seeds: int) -> None:
    whole = results_of(0.0, 0.05)
    of_plan = whole.plan.trials
    records = {trial.id: whole.records[trial.id] for trial in of_plan if trial.seed < seeds}
    answer = answer_of(StudyResults(whole.plan, records))
    assert [(result.verdict, bool(result.note)) for result in answer.results] == [("interim", True)]
    assert answer.notes == ()


@pytest.mark.parametrize(
    ("design", "names"),
    [
        ("{one_at_a_time: {base: {stop: off, distance: off}}}", "stop: off → on; distance: off → on"),
        ("{full: all}", "stop: off → on, distance; distance: off → on, stop"),  # and each with the other off
    ],
)
def test_a_note_says_within_what_where_comparisons_are_named_alike(design: str, names: str) -> None:
    plan = make_plan(FACTORIAL.replace("{full: all}", design))

    def scores(trial: Trial) -> dict[str, float]:
        switched = list(trial.levels.values()).count("on")
        return {"image_ap": 0.7 + (0.05 + 0.03 * (trial.seed == 3)) * switched, "fp": 1.0}

    records = {trial.id: make_record(trial, scores) for trial in plan.trials}
    if "full" in design:  # without one of its cells the answer is of the comparisons, not of main effects
        both_off = [trial for trial in plan.trials if "on" not in trial.levels.values()]
        records |= {trial.id: lose(trial, "failed", "out of memory") for trial in both_off}
    (note,) = answer_of(StudyResults(plan, records)).notes
    assert note.partition(": one-sided spread")[0] == names


def test_what_is_shown_on_one_split_says_how_it_stands_on_new_data() -> None:
    text = SWITCH.replace("splits: published", "splits: per_seed")
    results = results_of(0.05, text=text)
    claims = {result.claim: result.verdict for result in study_analysis(results).comparisons}
    assert group(answer_of(results), "Pays").sentences[0].endswith(f"On new data {claims['new data']}.")


def test_where_cells_have_repeats_of_several_kinds_each_comparison_has_its_narrowest_claim() -> None:
    text = FACTORIAL.replace(
        "distance: {off: {config: {distance_weights: false}}, on: {config: {distance_weights: true}}}",
        "split: {folds: {}, drawn: {data: {splits: per_seed}}}",
    )
    text = text.replace(", {factor: distance}", "").replace("6, 7]", "6, 7], folds: [0, 1, 2]")
    results = results_of(0.05, text=text)
    answer = answer_of(results)
    assert answer.claims == ("these folds", "this data")
    pays = group(answer, "Pays")
    assert [result.within for result in pays.results] == ["split=folds", "split=drawn"]
    assert "On these folds shown, on new data " in pays.sentences[0]
    assert "On this data shown, on new data " in pays.sentences[1]
    titles = [section.title for section in comparison_sections(results)]
    further = [title for title in titles if title.startswith("Further metrics")]
    assert further == ["Further metrics on these folds", "Further metrics on this data"]


def test_a_study_without_a_pair_of_trials_has_no_answer() -> None:
    assert study_answer(StudyResults(make_plan(SWITCH), {})) is None
