"""The threshold with a promise: the exact rule, its refusals, costs, and what a study may ask for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.study import Study
from assay.study.planning.promises import ThresholdParts, threshold_parts
from tests.evaluation.evaluate_scenes import CPU, Brightness, make_set
from tests.study.searches import search_with
from tests.study.toy import BASIC, TOY, plan_on_images, study_with
from trainables.data.manifest import Manifest, open_manifest
from trainables.data.samples import EvaluationData
from trainables.data.spec import DataSpec, HoldOut, Supervision
from trainables.data.splits import make_split
from trainables.data.threshold import Cost, CostOf, Escapes, FalseAlarms, threshold_text
from trainables.errors import InputError
from trainables.evaluation.evaluate import Evaluation, evaluate
from trainables.evaluation.metrics.inputs import ImageScores
from trainables.evaluation.operating_point import (
    choose_by_cost,
    choose_by_promise,
    exact_limit,
    least_rate,
    limit_text,
    parts_needed,
)

scores_of_parts = st.lists(st.sampled_from([i / 16 for i in range(17)]), min_size=30, max_size=80)
PROMISE = FalseAlarms(false_alarms=0.3, sure=0.9)


def of_one_kind(scores: list[float] | np.ndarray, *, defective: bool = False) -> ImageScores:
    return ImageScores(np.full(len(scores), defective), np.array(scores, float), 0.0)


# The rule ------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(scores_of_parts, st.sampled_from([0.1, 0.2, 0.5]), st.sampled_from([0.5, 0.9, 0.95]))
def test_no_lower_threshold_keeps_the_promise(scores: list[float], rate: float, sure: float) -> None:
    """By brute force with SciPy's test."""
    good = np.array(scores)
    point = choose_by_promise(of_one_kind(scores), FalseAlarms(false_alarms=rate, sure=sure))

    assert point.wrong == int(np.sum(good >= point.threshold))
    assert stats.binomtest(point.wrong, len(good), rate, "less").pvalue <= 1 - sure + 1e-12
    allowed = max(
        k for k in range(len(good)) if stats.binomtest(k, len(good), rate, "less").pvalue <= 1 - sure + 1e-12
    )
    assert point.threshold == np.nextafter(np.sort(good)[::-1][allowed], np.inf)


@settings(deadline=None)
@given(scores_of_parts, st.sampled_from([0.1, 0.2, 0.5]))
def test_escapes_are_false_alarms_from_below(scores: list[float], rate: float) -> None:
    """Scores turned around, a threshold just above a level is one at that level from below."""
    alarms = choose_by_promise(of_one_kind(scores), FalseAlarms(false_alarms=rate))
    turned = choose_by_promise(
        of_one_kind([1 - score for score in scores], defective=True), Escapes(escapes=rate)
    )
    assert turned.wrong == alarms.wrong
    assert turned.threshold == pytest.approx(1 - alarms.threshold, abs=1e-12)


@pytest.mark.parametrize(("wrong", "parts", "sure"), [(0, 60, 0.95), (3, 171, 0.9), (1, 299, 0.95)])
def test_the_exact_limit_is_that_of_scipy(wrong: int, parts: int, sure: float) -> None:
    limit = stats.binomtest(wrong, parts, alternative="less").proportion_ci(sure, "exact").high
    assert exact_limit(wrong, parts, sure) == pytest.approx(limit, abs=1e-12)


@settings(deadline=None)
@given(st.floats(0.001, 0.9), st.floats(0.5, 0.999))
def test_one_part_fewer_than_needed_cannot_promise(rate: float, sure: float) -> None:
    needed = parts_needed(rate, sure)
    assert least_rate(needed, sure) <= rate < least_rate(needed - 1, sure) + 1e-12


def test_a_part_counts_once_with_its_highest_view() -> None:
    scores = np.repeat(np.linspace(0, 0.9, 30), 2)
    scores[1::2] += 0.05
    views = ImageScores(np.zeros(60, np.bool_), scores, 0.0, tuple(f"part{i // 2}" for i in range(60)))
    point = choose_by_promise(views, PROMISE)
    assert point == choose_by_promise(of_one_kind(scores[1::2]), PROMISE)
    assert point.parts == 30


@pytest.mark.parametrize(
    ("promise", "words"),
    [
        (FalseAlarms(false_alarms=0.01), "takes 299 good parts that choose the threshold, found 20"),
        (FalseAlarms(false_alarms=0.01), "can promise at most 14 %"),
        (Escapes(escapes=0.05), "takes 59 defective parts that choose the threshold, found 0 in validation"),
    ],
)
def test_too_few_parts_are_refused_with_what_they_could_promise(
    promise: FalseAlarms | Escapes, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        choose_by_promise(of_one_kind(np.linspace(0, 1, 20)), promise)


@settings(deadline=None)  # 200 draws of parts each
@given(scores_of_parts, st.lists(st.sampled_from([i / 16 for i in range(17)]), min_size=1, max_size=9))
def test_no_threshold_costs_less(good: list[float], bad: list[float]) -> None:
    rule = Cost(cost=CostOf(escape=200, false_alarm=1), defective=0.002)
    labels = np.arange(len(good) + len(bad)) >= len(good)
    threshold, (low, high) = choose_by_cost(ImageScores(labels, np.array([*good, *bad]), 0.0), rule)

    def cost(at: float) -> float:
        alarms, escapes = sum(score >= at for score in good), sum(score < at for score in bad)
        return 0.998 * (alarms + 1) / (len(good) + 2) + 0.002 * 200 * (escapes + 1) / (len(bad) + 2)

    assert all(cost(threshold) <= cost(at) + 1e-12 for at in np.linspace(0, 1.01, 203))
    assert low <= high


# In a trial ----------------------------------------------------------------------------------------------


def judged(rule: Any, *, calibration: bool) -> Evaluation:
    held_out = make_set("cal", 90, seed=3, masks=False) if calibration else None
    data = EvaluationData(
        make_set("val", 60, seed=2, masks=False), make_set("test", 30, seed=1, masks=True), held_out
    )
    return evaluate(Brightness(), data, device=CPU, batch=8, probes=0, seed=0, threshold=rule)


@pytest.mark.parametrize("calibration", [True, False])
def test_a_promise_names_the_parts_that_it_rests_on(calibration: bool) -> None:
    thresholds = judged(PROMISE, calibration=calibration).thresholds
    part = "calibration" if calibration else "validation"
    assert thresholds.image_source == f"{part}: at most 30 % false alarms, 90 % sure"
    assert thresholds.promise is not None
    assert (thresholds.promise.source, thresholds.promise.rule) == (part, PROMISE)


def test_a_part_held_out_chooses_the_image_threshold_and_nothing_else() -> None:
    by_validation, by_calibration = (judged("f1", calibration=each).thresholds for each in (False, True))
    assert by_calibration.image != by_validation.image
    assert by_calibration.image_source == "calibration F1"
    assert by_calibration.pixel == by_validation.pixel


def test_a_number_is_taken_as_given() -> None:
    thresholds = judged(0.3, calibration=False).thresholds
    assert (thresholds.image, thresholds.image_source) == (0.3, "fixed 0.3")


# In a study ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threshold", "words"),
    [
        ("best_f1", "is written `f1`, found best_f1"),
        ("smoothed_f1", "is written `f1`, found smoothed_f1"),
        (True, "or a number from 0 to 1, found True"),
        (1.5, "or a number from 0 to 1, found 1.5"),
        ({"false_alarms": 0.1, "escapes": 0.1}, "a threshold is `f1`"),
        ({"false_alarms": 2}, "less than 1"),
        ({"false_alarms": 0.1, "certain": 0.9}, "certain"),
        ({"cost": {"escape": 0, "false_alarm": 1}, "defective": 0.1}, "greater than 0"),
    ],
)
def test_a_rule_that_is_none_is_refused(threshold: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DataSpec.model_validate({"reader": "synthetic", "threshold": threshold})


def test_the_rules_in_words() -> None:
    assert threshold_text(Escapes(escapes=0.05)) == "at most 5 % escapes, 95 % sure"
    cost = Cost(cost=CostOf(escape=200, false_alarm=1), defective=0.002)
    assert (
        threshold_text(cost)
        == "least cost where an escape costs 200, a false alarm 1 and 0.2 % are defective"
    )


def refusal(tmp_path: Path, **data: Any) -> str:
    with pytest.raises(InputError) as caught:
        plan_on_images(study_with(data={**BASIC["data"], **data}), tmp_path)
    return str(caught.value)


def test_a_method_that_may_choose_by_validation_needs_a_part_of_its_own(tmp_path: Path) -> None:
    words = refusal(tmp_path, threshold={"false_alarms": 0.5, "sure": 0.5})
    assert "chooses by validation. Write data.calibration: {share: 0.3, by: item}" in words


def test_a_plan_says_what_the_parts_at_hand_can_promise(tmp_path: Path) -> None:
    words = refusal(tmp_path, threshold={"false_alarms": 0.01}, calibration={"share": 0.3})
    assert "takes 299 good parts that choose the threshold, found" in words
    assert "in calibration, which can promise" in words


def test_a_promise_without_parts_is_refused(tmp_path: Path) -> None:
    words = refusal(tmp_path, threshold={"false_alarms": 0.01}, validation="none")
    assert "found validation: none and no `calibration`" in words


SAID = (
    r"\d+ good calibration parts?: at most [\d.]+ % false alarms with 95 % certainty; \d+ defective: at most"
)


def parts_of(study: Study, cache: Path) -> dict[str, ThresholdParts]:
    """The parts that choose the threshold of each cell, on synthetic images."""

    def opener(spec: DataSpec) -> Manifest:
        return open_manifest(spec, None, cache)

    return threshold_parts(plan_on_images(study, cache), opener, lambda _: TOY)


def test_a_plan_says_what_the_parts_that_choose_can_promise(tmp_path: Path) -> None:
    study = study_with(data={**BASIC["data"], "calibration": {"share": 0.3}})
    known = parts_of(study, tmp_path)
    assert {*known} == {cell.name for cell in plan_on_images(study, tmp_path).cells}
    parts = next(iter(known.values()))
    assert re.match(SAID, str(parts)), parts
    assert limit_text(0, parts.good) in str(parts)


def test_the_repeat_with_the_fewest_parts_says_what_can_be_promised(tmp_path: Path) -> None:
    study = study_with(data={**BASIC["data"], "calibration": {"share": 0.3}}, repeats={"seeds": [0, 1, 2]})
    plan, parts = plan_on_images(study, tmp_path), next(iter(parts_of(study, tmp_path).values()))
    manifest = open_manifest(plan.cells[0].data, None, tmp_path)
    fewest = min(
        len({manifest.by_sample[s].group for s in split.calibration if not manifest.by_sample[s].label})
        for split in (
            make_split(manifest, plan.cells[0].data, Supervision(kind="full"), seed, None)
            for seed in range(3)
        )
    )
    assert parts.good == fewest


def test_a_search_says_that_it_chooses_by_validation(tmp_path: Path) -> None:
    parts = next(iter(parts_of(search_with(), tmp_path).values()))
    assert "the search chooses by them" in str(parts)


def test_parts_that_chose_something_else_promise_nothing(tmp_path: Path) -> None:
    for parts in parts_of(study_with(), tmp_path).values():
        assert "validation parts promise nothing of new ones: toy chooses by them" in str(parts)


def test_a_plan_in_which_no_part_chooses_promises_nothing(tmp_path: Path) -> None:
    assert not parts_of(study_with(data={**BASIC["data"], "validation": "none"}), tmp_path)


@pytest.mark.parametrize("parts", [1, 2, 7, 59, 60, 299, 1000, 12345])
@pytest.mark.parametrize("wrong", [0, 1, 5])
def test_a_limit_in_words_is_never_below_the_exact_one(wrong: int, parts: int) -> None:
    limit = float(limit_text(wrong, parts).removeprefix("at most ").removesuffix(" %"))
    exact = 100 * exact_limit(wrong, parts)
    assert exact - 1e-6 <= limit <= 1.1 * exact


def test_calibration_is_taken_from_training_alone_and_by_item(tmp_path: Path) -> None:
    data = {**BASIC["data"], "options": {**BASIC["data"]["options"], "items": 20}}
    spec = DataSpec.model_validate(data)
    manifest = open_manifest(spec, None, tmp_path)
    held_out = spec.model_copy(update={"calibration": HoldOut(share=0.3)})
    before, after = (
        make_split(manifest, each, Supervision(kind="full"), 0, None) for each in (spec, held_out)
    )
    assert (after.validation, after.test) == (before.validation, before.test)
    assert sorted((*after.train, *after.calibration)) == sorted(before.train)
    items = [{manifest.by_sample[s].group for s in part} for part in (after.train, after.calibration)]
    assert items[0].isdisjoint(items[1])
    assert not {*after.masks} & {*after.calibration}
