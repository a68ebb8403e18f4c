"""The pictures of comparisons and effects: a row for each comparison, verdicts in words, the same bytes."""

from __future__ import annotations

from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from assay.analysis.results.results import StudyResults
from assay.report.figures.effects import (
    EffectsPlot,
    comparisons_plot,
    draw_effects,
    effects_plot,
    mark_of,
    verdict_words,
)
from assay.report.page.model import PictureForm
from assay.storage import Record
from assay.study import Plan, Trial
from tests.analysis.made_studies import STUDY, lose, make_plan, make_record

TEXT = STUDY.replace("splits: per_seed", "splits: published") + "resolve: 0.01\n"


def with_seeds(number: int, folds: str = "") -> Plan:
    return make_plan(TEXT.replace("[0, 1, 2]}", f"{list(range(number))}{folds}}}"))


def records_of(plan: Plan, gain: float = 0.05) -> dict[str, Record]:
    def scores(trial: Trial) -> dict[str, float]:
        on = trial.levels["stop"] == "on"
        return {"image_ap": 0.8 + 0.01 * (trial.seed % 3) + on * (gain + 0.002 * (trial.seed % 5)), "fp": 1.0}

    return {trial.id: make_record(trial, scores) for trial in plan.trials}


def compared(plan: Plan, records: dict[str, Record]) -> EffectsPlot:
    plot = comparisons_plot(StudyResults(plan, records))
    assert plot is not None
    return plot


def words(plot: EffectsPlot) -> list[str]:
    """The texts of the picture: matplotlib notes each as a comment beside its letters."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.fromstring(draw_effects(plot, "svg"), parser)
    return [(node.text or "").strip() for node in root.iter() if node.tag is ElementTree.Comment]


def test_every_comparison_is_a_row_with_its_verdict_in_words() -> None:
    plan = with_seeds(8)
    text = words(compared(plan, records_of(plan)))
    assert sum(name.startswith("Stop with") for name in text) == text.count("significant") == 2
    assert sum(name.startswith("All masks instead of 5") for name in text) == text.count("identical") == 2
    assert text.count("n = 8, better in 8") == 2
    for part in (
        "On this split",
        "Stop with 5 masks",
        "All masks instead of 5 with stop",
        "difference in AP on test data (0–1), second minus first",
    ):
        assert part in text
    assert "less than 0.01, the smallest effect of interest" in text


@pytest.mark.parametrize(
    ("gain", "mark", "verdict"),
    [
        (0.05, "shown", "significant"),
        (0.005, "shown", "significant"),  # below `resolve`, and its interval is not
        (0.002, "small", "significant, small"),
    ],
)
def test_a_difference_that_is_shown_but_too_small_to_matter_is_no_full_success(
    gain: float, mark: str, verdict: str
) -> None:
    plan = with_seeds(8)
    rows = [
        one for one in compared(plan, records_of(plan, gain)).results if one.comparison == "stop: off → on"
    ]
    assert [(mark_of(row), verdict_words(row)) for row in rows] == [(mark, verdict)] * 2


def test_each_claim_is_a_group_of_its_own() -> None:
    plan = with_seeds(3, ", folds: [0, 1, 2]")
    groups = compared(plan, records_of(plan)).groups
    assert {name: len(rows) for name, rows in groups.items()} == {"On these folds": 4, "On new data": 4}


def test_main_effects_and_interactions_are_those_of_a_full_factorial() -> None:
    plan = with_seeds(8)
    plot = effects_plot(StudyResults(plan, records_of(plan)))
    assert plot is not None
    assert {name: [row.comparison for row in rows] for name, rows in plot.groups.items()} == {
        "Main effects on this split": ["stop: off → on", "supervision: full → few"],
        "Interactions on this split": ["supervision × stop"],
    }
    rows = make_plan(TEXT.replace("{full: all}", "{rows: [{supervision: [full, few], stop: on}]}").replace(
        "{factor: stop}, ", ""))  # fmt: skip
    assert effects_plot(StudyResults(rows, records_of(rows))) is None


def test_the_axis_holds_an_interaction_which_may_be_twice_a_difference() -> None:
    def crossed(trial: Trial) -> dict[str, float]:
        alike = (trial.levels["supervision"] == "full") == (trial.levels["stop"] == "off")
        return {"image_ap": (0.95 if alike else 0.2) + 0.01 * (trial.seed % 3), "fp": 1.0 + trial.seed}

    plan = with_seeds(8)
    results = StudyResults(plan, {trial.id: make_record(trial, crossed) for trial in plan.trials})
    plot, comparisons = effects_plot(results), comparisons_plot(results)
    assert plot is not None
    assert comparisons is not None
    (interaction,) = (row.difference for row in plot.results if row.family == "interactions")
    assert interaction == pytest.approx(1.5)
    low, high = plot.limits
    assert low < interaction < high
    assert comparisons.limits[0] > -1.1


def test_nothing_trained_is_no_picture_and_a_lost_repeat_is_counted() -> None:
    plan = with_seeds(8)
    assert comparisons_plot(StudyResults(plan, {})) is None
    records = records_of(plan)
    lost = next(trial for trial in plan.trials if trial.cell == "supervision=full stop=on")
    records[lost.id] = lose(lost, "failed")
    assert "n = 7 of 8, better in 7" in words(compared(plan, records))


def test_who_cannot_see_the_picture_is_told_the_verdicts() -> None:
    plan = with_seeds(8)
    alt = compared(plan, records_of(plan)).alt
    assert alt.startswith(
        "Comparisons, AP. On this split: stop with all masks is significant; stop with 5 masks"
    )


def test_a_study_of_many_comparisons_says_how_many_are_left_out() -> None:
    plan = with_seeds(3)
    plot = comparisons_plot(StudyResults(plan, records_of(plan)), most=3)
    assert plot is not None
    assert len(plot.results) == 3
    assert plot.caption.endswith("The strongest 3 of 4.")


@pytest.mark.parametrize("form", ["svg", "png", "pdf"])
def test_the_same_records_give_the_same_bytes(form: PictureForm) -> None:
    plan = with_seeds(8)
    one, two = (draw_effects(compared(plan, records_of(plan)), form) for _ in range(2))
    assert one == two
    assert b"CreationDate" not in one
    assert b"<dc:date>" not in one


@pytest.mark.parametrize("seeds", [6, 5])
def test_a_dagger_is_explained_where_it_stands(seeds: int) -> None:
    differences = (0.01, 0.012, 0.011, 0.009, 0.01, 0.12)  # 6 of 6, and the interval holds 0

    def scores(trial: Trial) -> dict[str, float]:
        gain = differences[trial.seed] * (trial.levels["stop"] == "on")
        return {"image_ap": 0.7 + 0.01 * (trial.seed % 3) + gain, "fp": 1.0}

    plan = with_seeds(seeds)
    plot = compared(plan, {trial.id: make_record(trial, scores) for trial in plan.trials})
    marked = "significant †" in words(plot)
    assert marked == (seeds == 6)
    assert (
        plot.caption.endswith(" † Interval and exact test disagree; the verdict follows the test.") == marked
    )
    assert ("† interval and exact test disagree" in words(plot)) == marked


def test_the_key_explains_the_marks_that_are_drawn_and_no_others() -> None:
    plan = with_seeds(8)
    text = " ".join(words(compared(plan, records_of(plan))))
    assert "significant: there is a difference" in text
    assert "identical: no repeat differs" in text
    assert not [mark for mark in ("undecided:", "suggested:", "negligible:", "small:") if mark in text]


@pytest.mark.parametrize(("seeds", "intervals"), [(2, False), (3, True)])
def test_the_key_has_intervals_where_there_are_some(seeds: int, intervals: bool) -> None:
    plan = with_seeds(seeds)
    text = words(compared(plan, records_of(plan)))
    assert ("95 % interval around the mean" in text) is intervals


def test_verdicts_differ_in_colour() -> None:
    plan = with_seeds(8)
    image = cv2.imdecode(np.frombuffer(draw_effects(compared(plan, records_of(plan)), "png"), np.uint8), 1)
    assert image is not None
    assert image.shape[1] == 1600
    colours = {tuple(int(part) for part in colour) for colour in np.unique(image.reshape(-1, 3), axis=0)}
    assert {(0xB2, 0x72, 0x00), (0x73, 0x9E, 0x00)} <= colours  # blue: shown; green: identical; as BGR
