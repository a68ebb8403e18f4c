"""The first line of a study: a plain sentence, whatever it compared and however far it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from assay.analysis.results.results import StudyResults
from assay.report.answer_sentence import answer_sentence
from assay.report.headline import study_answer
from assay.study import Trial
from tests.analysis.made_studies import lose, make_plan, make_record

_FACTORS = """factors:
  masks: {none: {supervision: weak}, five: {supervision: {mixed: 5}}, all: {supervision: full}}
  stop: {says: gradient stop, off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}
  weights:
    says: distance weights
    off: {config: {distance_weights: false}}
    on: {config: {distance_weights: true}}
"""
_ROWS = """design:
  rows:
    - {masks: [none, five, all], stop: on, weights: on}
    - {masks: all, stop: off, weights: on}
    - {masks: all, stop: on, weights: off}
comparisons:
  - {factor: masks, from: none, to: five}
  - {factor: masks, from: five, to: all}
  - {factor: stop}
  - {factor: weights}
"""
_HEAD = """study: sentence
trainable: segdec
data: {reader: synthetic, splits: published}
config: {preset: ksdd, image_size: [128, 64]}
resolve: 0.02
repeats: {seeds: [0, 1, 2, 3, 4, 5, 6, 7]}
metrics: {primary: image_ap, report: [fp]}
"""
_FOUR = _HEAD + _FACTORS + _ROWS


def _results(score: Callable[[Trial], float], text: str = _FOUR, noise: float = 0.002) -> StudyResults:
    plan = make_plan(text)

    def of(trial: Trial) -> float:
        seed = [trial.seed, *(ord(sign) for sign in trial.cell)]
        return score(trial) + float(np.random.default_rng(seed).normal(0, noise))

    records = {t.id: make_record(t, lambda t: {"image_ap": of(t), "fp": 1.0}) for t in plan.trials}
    return StudyResults(plan, records)


def _sentence(results: StudyResults) -> str:
    answer = study_answer(results)
    return str(answer_sentence(results, () if answer is None else answer.results))


def _worth(
    five: float = 0.0, all_: float = 0.0, stop: float = 0.0, weights: float = 0.0
) -> Callable[[Trial], float]:
    def score(trial: Trial) -> float:
        gained = {"none": 0.0, "five": five, "all": five + all_}[trial.levels["masks"]]
        return (
            0.5 + gained + stop * (trial.levels["stop"] == "on") + weights * (trial.levels["weights"] == "on")
        )

    return score


@pytest.mark.parametrize(
    ("score", "beginning"),
    [
        (
            _worth(0.1, 0.05, 0.2),
            "The gradient stop pays (+0.20 AP), and so do five masks (+0.10). All masks beat five (+0.05).",
        ),
        (
            _worth(stop=0.1, weights=0.2),
            "Distance weights pay (+0.20 AP), and so does the gradient stop (+0.10).",
        ),
        (_worth(stop=-0.1), "The gradient stop hurts (−0.10 AP)."),
        (_worth(0.1, -0.1), "Five masks pay (+0.10 AP). All masks do worse than five (−0.10 AP)."),
        (_worth(stop=0.01), "Distance weights can go: dropping them loses at most 0.00"),
    ],
)
def test_what_pays_comes_first(score: Callable[[Trial], float], beginning: str) -> None:
    assert _sentence(_results(score)).startswith(beginning)


def test_what_can_go_says_what_dropping_it_loses() -> None:
    text = _sentence(_results(_worth(0.1, 0.1, 0.1)))
    assert "Distance weights can go: dropping them loses at most 0.00" in text


def test_what_shows_no_gain_says_how_many_runs_do_better_without() -> None:
    text = _sentence(_results(_worth(0.2, 0.2, stop=0.2, weights=-0.02), noise=0.03))
    assert "Distance weights show no gain: dropping them" in text


def test_what_is_open_is_not_decided() -> None:
    text = _sentence(_results(_worth(0.1, 0.02, stop=0.1, weights=0.02), noise=0.03))
    assert "whether all masks beat five" in text.lower()
    assert "not decided." in text


def test_differences_of_lower_is_better_have_their_own_sign() -> None:
    text = _FOUR.replace("primary: image_ap, report: [fp]", "primary: fp, report: [image_ap]").replace(
        "resolve: 0.02", "resolve: 1"
    )
    plan = make_plan(text)
    records = {
        t.id: make_record(
            t, lambda t: {"image_ap": 0.5, "fp": (4.0 if t.levels["stop"] == "on" else 20.0) + t.seed % 3}
        )
        for t in plan.trials
    }
    assert _sentence(StudyResults(plan, records)).startswith("The gradient stop pays (−16")


def test_without_resolve_nothing_is_too_small() -> None:
    text = _sentence(_results(_worth(0.1, 0.1, 0.1), _FOUR.replace("resolve: 0.02\n", "")))
    assert "can go" not in text


def test_of_many_comparisons_four_are_named_and_all_counted() -> None:
    switches = {
        "stop": "gradient_stop", "weights": "distance_weights",
    }  # fmt: skip
    factors = "".join(
        f"  {name}: {{off: {{config: {{{key}: false}}}}, on: {{config: {{{key}: true}}}}}}\n"
        for name, key in switches.items()
    )
    widths = ", ".join(f"d{width}: {{config: {{dilation: {width}}}}}" for width in range(1, 15, 2))
    text = _HEAD + f"factors:\n{factors}  width: {{{widths}}}\n"
    text += "design: {one_at_a_time: {base: {stop: off, weights: off, width: d1}}}\n"
    results = _results(lambda trial: 0.5 + 0.1 * (trial.levels["width"] != "d1"), text)
    answer = study_answer(results)
    assert answer is not None
    sentence = _sentence(results)
    assert len(answer.results) == 8
    assert "4 more comparisons pay." in sentence
    assert len(sentence) < 500


def test_main_effects_are_averages() -> None:
    text = _HEAD + _FACTORS.replace("all: {supervision: full}", "") + "design: {full: all}\n"
    text = text.replace("masks: {none: {supervision: weak}, five: {supervision: {mixed: 5}}, }", "").replace(
        "  \n", ""
    )
    results = _results(lambda trial: 0.5 + 0.1 * (trial.levels["stop"] == "on"), text)
    assert _sentence(results).startswith(
        "On average over the other factors, the gradient stop pays (+0.10 AP)."
    )


# A comparison in several places ---------------------------------------------------------------------------

_LOSSES = """factors:
  masks: {all: {supervision: full}, five: {supervision: {mixed: 5}}, none: {supervision: weak}}
  loss: {bce: {says: bce, config: {dilation: 1}}, dice: {says: dice, config: {dilation: 3}}}
design: {full: all}
"""
_ASKED = "comparisons: [{factor: loss, from: bce, to: dice}]\n"
_TWO = _LOSSES.replace(", none: {supervision: weak}", "")


def _dice(**gains: float) -> Callable[[Trial], float]:
    """A score that dice moves by this much with each number of masks."""
    return lambda trial: 0.4 + gains[trial.levels["masks"]] * (trial.levels["loss"] == "dice")


@pytest.mark.parametrize(
    ("gains", "noise", "sentence"),
    [
        pytest.param(
            {"all": 0.41, "five": -0.005},
            0.03,
            "With all masks, dice beats bce (+0.40 AP); "
            "with five masks, whether dice beats bce is not decided.",
            id="pays in one place, open in the other",
        ),
        pytest.param(
            {"all": 0.41, "five": 0.0},
            0.002,
            "With all masks, dice beats bce (+0.41 AP); "
            "with five masks, dice and bce differ by less than 0.02 AP.",
            id="pays in one place, no difference in the other",
        ),
        pytest.param(
            {"all": 0.2, "five": -0.2},
            0.002,
            "With all masks, dice beats bce (+0.20 AP); with five masks, dice does worse than bce (−0.20).",
            id="opposite signs",
        ),
        pytest.param(
            {"all": 0.2, "five": 0.3},
            0.002,
            "With five masks (+0.30 AP) and with all masks (+0.20), dice beats bce.",
            id="pays everywhere",
        ),
        pytest.param(
            {"all": 0.0, "five": 0.0},
            0.0,
            "With all masks and with five masks, dice changes nothing beside bce: all runs tie.",
            id="ties",
        ),
    ],
)
def test_a_comparison_is_said_for_each_place_and_never_as_an_average(
    gains: dict[str, float], noise: float, sentence: str
) -> None:
    assert _sentence(_results(_dice(**gains), _HEAD + _TWO + _ASKED, noise)) == sentence


def test_of_three_places_each_is_said() -> None:
    text = _sentence(_results(_dice(all=0.3, five=0.1, none=-0.1), _HEAD + _LOSSES + _ASKED))
    assert text == (
        "With all masks (+0.30 AP) and with five masks (+0.10), dice beats bce; "
        "with no masks, dice does worse than bce (−0.10)."
    )


def test_of_many_places_those_of_one_verdict_are_counted() -> None:
    levels = ", ".join(f"m{n}: {{supervision: {{mixed: {n}}}}}" for n in (1, 2, 3, 4, 5))
    text = _LOSSES.replace(
        "all: {supervision: full}, five: {supervision: {mixed: 5}}, none: {supervision: weak}", levels
    )
    gains = {f"m{n}": n / 10 for n in (2, 3, 4, 5)}
    assert _sentence(_results(_dice(**gains, m1=-0.2), _HEAD + text + _ASKED)) == (
        "In 4 of 5 variants, dice beats bce (+0.20 to +0.50 AP); "
        "with 1 mask, dice does worse than bce (−0.20)."
    )


def test_where_no_interaction_can_be_had_each_place_is_said_all_the_same() -> None:
    rows = "design: {rows: [{masks: [all, five], loss: [bce, dice]}, {masks: none, loss: bce}]}\n"
    results = _results(
        _dice(all=0.3, five=-0.1, none=0.0), _HEAD + _LOSSES.replace("design: {full: all}\n", rows) + _ASKED
    )
    assert _sentence(results) == (
        "With all masks, dice beats bce (+0.30 AP); with five masks, dice does worse than bce (−0.10)."
    )


def test_a_place_without_a_value_does_not_hide_the_other() -> None:
    whole = _results(_dice(all=0.3, five=0.1), _HEAD + _TWO + _ASKED)
    lost = {
        t.id: lose(t, "failed") for t in whole.plan.trials if t.levels == {"masks": "five", "loss": "dice"}
    }
    assert _sentence(StudyResults(whole.plan, {**whole.records, **lost})) == (
        "Dice with all masks beats bce (+0.30 AP). 1 comparison has too few runs for a verdict."
    )


def test_an_average_says_which_other_factor_it_depends_on() -> None:
    text = _sentence(_results(_dice(all=0.4, five=0.0), _HEAD + _TWO))
    assert text.startswith("On average over the other factors, ")
    assert text.endswith("Five masks instead of all change AP by 0.00 with bce and by −0.40 with dice.")


def test_an_average_of_equal_parts_stands_alone() -> None:
    assert "depends" not in _sentence(_results(_dice(all=0.2, five=0.2), _HEAD + _TWO))


_ONE = _HEAD.replace("resolve: 0.02\n", "")


def test_one_cell_has_its_score() -> None:
    assert _sentence(_results(lambda _: 0.9, _ONE, noise=0.0)) == "AP is 0.900 ± 0.000 over 8 seeds."


def test_cells_that_nothing_compares_have_a_best_mean() -> None:
    text = _HEAD + _FACTORS + _ROWS.partition("comparisons")[0]
    sentence = _sentence(_results(_worth(0.2, 0.2), text))
    assert "has the best mean so far" in sentence or "have the best mean so far" in sentence
    assert sentence.endswith("the study compares nothing.")


def test_before_the_first_result_nothing_is_said() -> None:
    assert _sentence(StudyResults(make_plan(_FOUR), {})) == "No run has a result yet."


def test_while_runs_are_missing_verdicts_are_to_come() -> None:
    whole = _results(_worth(0.1))
    some = {trial.id: whole.records[trial.id] for trial in whole.plan.trials if trial.seed < 6}
    assert _sentence(StudyResults(whole.plan, some)) == "Verdicts come when all runs have ended."


def test_where_all_runs_failed_it_says_so() -> None:
    plan = make_plan(_FOUR)
    records = {trial.id: lose(trial, "failed") for trial in plan.trials}
    assert _sentence(StudyResults(plan, records)) == "No run has a result: 40 failed."


def test_the_phrases_are_the_text() -> None:
    results = _results(_worth(0.1, 0.1, 0.1))
    answer = study_answer(results)
    assert answer is not None
    sentence = answer_sentence(results, answer.results)
    assert "".join(phrase.text for phrase in sentence.phrases) == str(sentence)
    assert {phrase.tone for phrase in sentence.phrases} >= {"", "pays", "settled"}
