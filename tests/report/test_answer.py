"""The answer of a study in sentences: which verdict stands where, and in which numbers."""

from __future__ import annotations

import numpy as np
import pytest

from assay.analysis.results.results import StudyResults
from assay.analysis.scores.score_file import ScoreQuestion, analyse_score_file
from assay.analysis.scores.score_table import ColumnNames
from assay.analysis.study_analysis import study_analysis
from assay.report.headline import Answer, study_answer
from assay.report.pages import study_page
from assay.report.tables.answer import first_results
from assay.report.tables.comparisons import comparison_sections
from assay.statistics.wording import badge, verdict_word
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


def badges(answer: Answer) -> list[str]:
    return [badge(result) for result in answer.results]


@pytest.mark.parametrize(
    ("gain", "noise", "titles"),
    [
        (0.05, 0.002, ["Keep"]),
        (-0.05, 0.002, ["Worse"]),
        (0.0, 0.002, ["Can go"]),
        (0.005, 0.0005, ["Too small"]),
        (-0.005, 0.0005, ["Too small"]),
        (0.0, 0.0, ["No difference"]),
        (0.0, 0.05, ["Undecided"]),
    ],
)
def test_a_verdict_stands_under_what_it_means_for_the_reader(
    gain: float, noise: float, titles: list[str]
) -> None:
    answer = answer_of(results_of(gain, noise))
    assert badges(answer) == titles


@pytest.mark.parametrize(
    ("gain", "noise", "titles"),
    [
        (0.0, 0.002, ["Can go"]),
        (-0.003, 0.006, ["Can go"]),  # not negligible: it may cost more than `resolve`
        (0.05, 0.002, ["Keep"]),  # what pays cannot go
        (-0.05, 0.002, ["Worse"]),
        (0.0, 0.05, ["Undecided"]),
    ],
)
def test_what_is_asked_whether_it_can_go_stands_there_where_it_can(
    gain: float, noise: float, titles: list[str]
) -> None:
    results = results_of(gain, noise, SWITCH.replace("{factor: stop}", "{factor: stop, ask: can go}"))
    answer = answer_of(results)
    assert badges(answer) == titles


def test_what_is_asked_whether_it_can_go_is_answered_in_each_place() -> None:
    asked = FACTORIAL.replace("[{factor: stop}, {factor: distance}]", "[{factor: stop, ask: can go}]")
    answer = answer_of(results_of(0.0, 0.002, asked))
    assert [result.verdict for result in answer.results] == ["dispensable"] * 2, "with distance and without"
    assert badges(answer) == ["Can go"] * 2


@pytest.mark.parametrize(
    ("resolve", "title"),
    [("", "No difference"), ("resolve: 0.8", "No difference"), ("resolve: 2", "Can go")],
)
def test_where_every_repeat_ties_it_can_go_only_if_the_interval_is_within_resolve(
    resolve: str, title: str
) -> None:
    text = SWITCH.replace("resolve: 0.01", resolve).replace(
        "primary: image_ap, report: [fp]", "primary: fp, report: []"
    )
    (comparison,) = study_analysis(results_of(0.0, text=text)).comparisons
    assert (comparison.low, comparison.high) == pytest.approx((-0.836, 0.836), abs=0.001)
    assert badges(answer_of(results_of(0.0, text=text))) == [title]


def test_of_two_methods_that_do_not_differ_none_can_go() -> None:
    text = SWITCH.replace("off: {config: {gradient", "short: {config: {gradient").replace("on: {", "long: {")
    results = results_of(0.0, text=text)
    assert badges(answer_of(results)) == ["No difference"]


def test_comparisons_answer_where_the_study_asks_for_them() -> None:
    results = results_of(0.05, text=FACTORIAL)
    answer = answer_of(results)
    assert (answer.results, answer.effects) == (study_analysis(results).comparisons, False)


_NOTHING_COMPARED = FACTORIAL.replace("comparisons: [{factor: stop}, {factor: distance}]\n", "")


def test_main_effects_answer_where_nothing_is_compared() -> None:
    results = results_of(0.05, text=_NOTHING_COMPARED)
    answer = answer_of(results)
    assert (answer.results, answer.effects) == (study_analysis(results).main_effects, True)


def test_a_lost_cell_leaves_the_comparisons_of_the_others() -> None:
    whole = results_of(0.05, text=FACTORIAL)
    of_cell = [trial for trial in whole.plan.trials if trial.cell == whole.plan.cells[0].name]
    lost = {trial.id: lose(trial, "failed", "out of memory") for trial in of_cell}
    results = StudyResults(whole.plan, {**whole.records, **lost})
    assert {effect.difference for effect in study_analysis(results).main_effects} == {None}
    answer = answer_of(results)
    assert (answer.results, answer.effects) == (study_analysis(results).comparisons, False)
    assert badges(answer).count("Keep") == 1


@pytest.mark.parametrize(
    ("levels", "names"),
    [(3, "Length l1 instead of l0"), (9, "length l5 instead of l0 and 2 more")],
)
def test_a_note_names_all_comparisons_that_it_is_about(levels: int, names: str) -> None:
    of_level = ", ".join(f"l{i}: {{config: {{epochs: {i + 1}}}}}" for i in range(levels))
    text = SWITCH.replace(
        "stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}",
        f"length: {{{of_level}}}",
    ).replace("[{factor: stop}]", "[{factor: length, from: l0}]")
    plan = make_plan(text)

    def scores(trial: Trial) -> dict[str, float]:
        # The gain is the same each time but once, where it is more; that of the last level is none.
        gains = trial.levels["length"] not in ("l0", f"l{levels - 1}")
        return {"image_ap": 0.7 + (0.05 + 0.03 * (trial.seed == 3)) * gains, "fp": 1.0}

    results = StudyResults(plan, {trial.id: make_record(trial, scores) for trial in plan.trials})
    (note,) = answer_of(results).notes
    assert note.partition(": skewed differences")[0].endswith(names)


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
    assert answer.notes == ("Skewed differences: interval covers about 89 %.",), "of all that is compared"


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_before_verdicts_come_the_answer_has_no_notes(seeds: int) -> None:
    whole = results_of(0.0, 0.05)
    of_plan = whole.plan.trials
    records = {trial.id: whole.records[trial.id] for trial in of_plan if trial.seed < seeds}
    answer = answer_of(StudyResults(whole.plan, records))
    assert [(result.verdict, bool(result.note)) for result in answer.results] == [("interim", True)]
    assert answer.notes == ()


def test_what_is_shown_on_one_split_says_how_it_stands_on_new_data() -> None:
    results = results_of(0.05, text=SWITCH.replace("splits: published", "splits: per_seed"))
    (on_new_data,) = (r for r in study_analysis(results).comparisons if r.claim == "new data")
    answer = study_page(results, brief=True).answer
    assert answer is not None
    assert f"On new data: all {verdict_word(on_new_data)}." in answer.notes


def test_where_cells_have_repeats_of_several_kinds_each_comparison_has_its_narrowest_claim() -> None:
    text = FACTORIAL.replace(
        "distance: {off: {config: {distance_weights: false}}, on: {config: {distance_weights: true}}}",
        "split: {folds: {}, drawn: {data: {splits: per_seed}}}",
    )
    text = text.replace(", {factor: distance}", "").replace("6, 7]", "6, 7], folds: [0, 1, 2]")
    results = results_of(0.05, text=text)
    answer = answer_of(results)
    assert answer.claims == ("these folds", "this data")
    assert [result.within for result in answer.results] == ["split=folds", "split=drawn"]
    titles = [section.title for section in comparison_sections(results)]
    further = [title for title in titles if title.startswith("Further metrics")]
    assert further == ["Further metrics on these folds", "Further metrics on this data"]


def test_a_study_without_a_pair_of_trials_has_no_answer() -> None:
    assert study_answer(StudyResults(make_plan(SWITCH), {})) is None


# A table of scores without a question -----------------------------------------------------------------


def _judged(second: float, question: ScoreQuestion) -> tuple[bool, list[tuple[str, str]]]:
    """What `assay judge` answers of dice beside bce: worth 0.4 with all masks, and ``second`` with five."""
    rng = np.random.default_rng(0)
    rows = ["masks,loss,seed,score"]
    for masks, gain in (("all", 0.4), ("five", second)):
        for loss in ("bce", "dice"):
            for seed in range(8):
                value = 0.4 + gain * (loss == "dice") + rng.normal(0, 0.003)
                rows.append(f"{masks},{loss},{seed},{value:.5f}")
    analysis = analyse_score_file("scores.csv", "\n".join(rows).encode(), question).analysis
    effects, _, chosen = first_results(analysis)
    return effects, [(result.comparison, result.within) for result in chosen]


_COLUMNS = ColumnNames(("masks", "loss"))
_IN_EACH = [("loss: bce → dice", "masks=all"), ("loss: bce → dice", "masks=five")]


@pytest.mark.parametrize("second", [-0.4, 0.0, 0.4])
def test_what_a_table_is_asked_is_answered_in_each_place(second: float) -> None:
    assert _judged(second, ScoreQuestion(_COLUMNS, compared=("loss",))) == (False, _IN_EACH)


def test_a_table_without_a_question_has_averages_where_the_parts_agree() -> None:
    assert _judged(0.4, ScoreQuestion(_COLUMNS)) == (
        True,
        [("masks: all → five", ""), ("loss: bce → dice", "")],
    )


@pytest.mark.parametrize("second", [-0.4, 0.0])
def test_a_table_without_a_question_has_no_average_of_parts_that_differ(second: float) -> None:
    effects, named = _judged(second, ScoreQuestion(_COLUMNS))
    assert not effects
    assert set(_IN_EACH) <= set(named)
