"""What labels buy: steps along the front, masks that are enough, what to label next."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from assay.analysis.labels import LabelAnalysis, NextLabels, label_analysis, next_labels
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.report.tables.labels import label_sections, next_section
from tests.analysis.label_studies import GRID, LINE, ladder, trained
from tests.analysis.made_studies import markdown_of
from trainables.errors import InputError


def rising(images: int, masks: int) -> float:
    return 0.6 + 0.05 * math.log1p(masks)


def both(images: int, masks: int) -> float:
    return 0.4 + 0.06 * math.log1p(masks) + 0.05 * math.log1p(images - 60)


def analysis_of(text: str, noise: float = 0.005) -> LabelAnalysis:
    analysis = label_analysis(StudyResults(*trained(text, rising, noise)))
    assert analysis is not None
    return analysis


def tables_of(text: str, noise: float = 0.005) -> dict[str, list[dict[str, str]]]:
    """Title of a section → its rows, by column."""
    return {
        section.title: [
            dict(zip((column.title for column in section.table.columns), row, strict=True))
            for row in section.table.rows
        ]
        for section in label_sections(StudyResults(*trained(text, rising, noise)))
        if section.table is not None
    }


def test_each_cell_of_the_front_is_compared_with_the_one_before() -> None:
    analysis = analysis_of(LINE)
    steps = [(step.claim, step.comparison) for step in analysis.steps]
    names = ["n0 → n5", "n5 → n15", "n15 → all"]
    assert steps == [(claim, name) for claim in ("this data", "new data") for name in names]
    assert {(one.family, one.m) for one in analysis.steps} == {("labels", 3)}
    for one in analysis.steps:
        assert one.difference == pytest.approx((one.mean_a or 0) - (one.mean_b or 0))


def test_of_a_study_that_decides_steps_are_of_the_claim_that_is_decided() -> None:
    text = LINE.replace("{seeds: [0, 1, 2, 3, 4]}", "{decide: [6, 8]}")
    analysis = analysis_of(text + "comparisons: [{from: n5, to: all, factor: masks}]\n")
    assert {one.claim for one in analysis.steps} == {"this data"}


@pytest.mark.parametrize("repeats", ["{seeds: [0, 1, 2, 3, 4, 5, 6, 7]}", "{decide: [6, 8]}"])
def test_steps_wait_for_the_look_that_comparisons_wait_for(repeats: str) -> None:
    """Of five seeds of eight nothing is shown, and no step is called one that cannot be told apart."""
    text = LINE.replace("{seeds: [0, 1, 2, 3, 4]}", repeats)
    text += "comparisons: [{from: n5, to: all, factor: masks}]\n"
    plan, records = trained(text, rising, 0.002)
    ended = {trial.id: records[trial.id] for trial in plan.trials if trial.seed < 5}
    results = StudyResults(plan, ended)
    assert label_analysis(results) is not None
    assert {one.verdict for one in label_analysis(results).steps} == {"interim"}
    assert {one.verdict for one in study_analysis(results).comparisons} == {"interim"}


def test_a_step_says_what_a_further_hour_brings() -> None:
    analysis = analysis_of(LINE)
    step = tables_of(LINE)["Steps along the Pareto front"][1]
    assert step["further minutes"] == "15.0"  # ten masks at 90 s
    first = analysis.steps[1].difference
    assert first is not None
    assert step["per further hour"].startswith(f"+{first / 0.25:.3f} [")


def test_hours_and_gains_per_hour_that_are_not_0_are_not_written_as_0() -> None:
    """100 image labels at 1 s are 0.028 hours, and masks at 900 s some hours."""
    tables = tables_of(LINE.replace("_seconds: 3, mask_seconds: 90", "_seconds: 1, mask_seconds: 900"))
    assert [row["hours"] for row in tables["What labels buy"]][:2] == ["0.028", "1.3"]
    dear = LINE.replace("_seconds: 3, mask_seconds: 90", "_seconds: 1, mask_seconds: 86400")
    (step, *_) = tables_of(dear)["Steps along the Pareto front"]
    first = 0.05 * math.log1p(5) / 120
    assert float(step["per further hour"].partition(" [")[0]) == pytest.approx(first, rel=0.1)


def test_a_step_that_was_chosen_afterwards_has_no_verdict() -> None:
    plan, records = trained(LINE, rising, 0.002)
    page = markdown_of(plan, records)
    steps = page[page.index("## Steps along the Pareto front") : page.index("## How many masks")]
    assert "| verdict" not in steps
    assert not re.search("significant|suggested|undecided|distinguishable", steps)
    assert "there is no verdict" in steps


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (LINE, True),
        (LINE.replace("resolve: 0.01\n", ""), False),
        (LINE.replace("    all: {supervision: full}\n", ""), False),
        (re.sub(r"    n(5|15): .*\n", "", LINE), False),
        (LINE.replace("mixed: 15}", "mixed: 5}, config: {lr: 0.5}"), False),
    ],
    ids=["a line", "no resolve", "not all", "two numbers", "a number twice"],
)
def test_enough_is_asked_along_lines_that_end_at_all_masks(text: str, found: bool) -> None:
    assert bool(analysis_of(text).enough) is found


def test_enough_masks_are_said_with_their_labelling() -> None:
    (row,) = tables_of(LINE.replace("per_seed", "published"), 0.0005)["How many masks are enough"]
    # 0.05·(log 41.2 − log(1 + m)) ≤ 0.01 from m = 33 on; 100.2 image labels and 33 masks are 54.5 minutes.
    assert row["holds for"] == "this split"
    assert row["enough masks"].startswith("33 [")
    assert row["minutes of labelling"] == "54.5"
    assert row["of all"] == "40 (65.3 minutes)"


def test_of_a_metric_of_which_less_is_better_enough_speaks_of_what_is_worse() -> None:
    plan, records = trained(LINE.replace("image_ap", "fp").replace("0.01", "2"), rising, 0.0005)
    for trial in plan.trials:
        result = records[trial.id].result
        assert result is not None
        metrics = {"fp": 20 - 20 * result.metrics["image_ap"]}
        records[trial.id] = records[trial.id].model_copy(
            update={"result": result.model_copy(update={"metrics": metrics})}
        )
    text = markdown_of(plan, records)
    assert "From which number of masks on FP is at most 2 worse than with all masks, on the mean" in text


def further_of(text: str = GRID, **asked: object) -> NextLabels:
    (further,) = next_labels(StudyResults(*trained(text, both, 0.003)), **asked)  # type: ignore[arg-type]
    return further


def test_where_normal_images_are_the_same_labels_of_defective_ones_are_bought() -> None:
    further = further_of()
    assert further.counted == "labels of defective images"
    assert further.labels == (40, 15)
    assert further.start is not None
    assert further.start.cell.name == "masks=n15 images=p40"  # the dearest that leaves masks to draw


def test_hours_are_by_default_as_many_as_double_the_first_kind() -> None:
    assert further_of().advice.hours == pytest.approx(40 * 3 / 3600)


def test_advice_names_hours_start_and_the_sure_kind() -> None:
    section = next_section([further_of()])
    assert section.intro.startswith(
        "Spend 2.0 further minutes on labels of defective images, from 15 masks, images p40 "
        "(40 labels of defective images and 15 masks): they gain more with P "
    )
    assert [row[1:3] for row in section.table.rows] == [
        ("labels of defective images", "40"),
        ("masks", "1.3"),
        ("masks instead of labels of defective images", ""),
    ]


@pytest.mark.parametrize(("chance", "said"), [(0.974, "P = 0.97"), (0.998, "P > 0.99"), (1.0, "P > 0.99")])
def test_advice_claims_no_certainty(chance: float, said: str) -> None:
    further = further_of()
    advice = replace(further.advice, choice="masks", p_masks=chance)
    assert f"they gain more with {said}." in next_section([replace(further, advice=advice)]).intro


def test_a_refusal_counts_the_labels_that_the_page_counts() -> None:
    assert further_of(hours=0.0338).advice.reason.startswith(
        "the hours buy 41 labels of defective images, which would more than double the 40: "
    )


def test_masks_are_not_bought_for_images_that_are_not_there() -> None:
    few = GRID.replace("p20: {data: {positives: 20}}", "p16: {data: {positives: 16}}")
    quick = few.replace(
        "image_label_seconds: 3, mask_seconds: 90", "image_label_seconds: 30, mask_seconds: 10"
    )
    further = further_of(quick, start="masks=n15 images=p16", hours=0.01)
    assert further.advice.choice is None
    assert "1 defective training images have no mask yet, and the hours are for 4" in further.advice.reason


def test_a_start_without_a_choice_gets_no_advice() -> None:
    grid = GRID.replace("n2: {supervision: {mixed: 2}}", "n0: {supervision: weak, config: {balance: none}}")
    further = further_of(grid, start="masks=n0 images=p20")
    assert further.start is None
    assert (
        "masks=n0 images=p20 does not have the masks of some defective images"
        in next_section([further]).intro
    )


def test_methods_without_a_start_are_named_in_one_sentence() -> None:
    intro = next_section(next_labels(StudyResults(*ladder()))).intro
    assert intro.count("No advice for ") == 1
    assert intro.endswith(
        "No advice: none of cam, cropping, region_cam, unet_all has the masks of some defective images and "
        "not of others: there is no choice to make."
    )


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (LINE, "Pareto front: no variant has a higher mean AP for fewer or as many hours"),
        (LINE, "Left out, without a finished training: n15."),
        (LINE.replace("resolve: 0.01\n", ""), "where the study names a difference that matters (`resolve`)"),
        (
            LINE.replace("{mixed: 5}", "{mixed: 5}, data: {mask_detail: box}"),
            "with the same seconds, however finely",
        ),
    ],
    ids=["front", "not trained", "no resolve", "coarse masks"],
)
def test_what_a_reader_must_know_stands_under_the_table(text: str, note: str) -> None:
    plan, records = trained(text, rising)
    page = markdown_of(plan, {t.id: records[t.id] for t in plan.trials if t.cell != "n15"})
    assert note in page


def test_a_report_advises_only_where_both_kinds_vary() -> None:
    assert "## What to label next" not in markdown_of(*trained(LINE, rising))
    assert "## What to label next" in markdown_of(*trained(GRID, both, 0.003))


@pytest.mark.parametrize(
    ("text", "asked", "message"),
    [
        (GRID.replace("labelling:", "#"), {}, "does not say what labels take. Add `labelling:"),
        (GRID, {"start": "n9"}, "no finished cell is called n9. There are: masks=n2 images=p20"),
        (GRID, {"hours": 0.0}, "above 0 and at most 100,000, found 0"),
        (GRID, {"hours": math.nan}, "found nan"),
        (
            GRID.replace("design: {full: all}", "design: {rows: [{masks: n2, images: p20}]}"),
            {},
            "no two finished",
        ),
    ],
    ids=["no costs", "unknown cell", "no hours", "not a number", "one cell"],
)
def test_what_cannot_be_asked_is_refused(text: str, asked: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        further_of(text, **asked)


def test_of_a_ladder_masks_are_enough_for_one_method_and_steps_go_across() -> None:
    plan, records = ladder()
    analysis = label_analysis(StudyResults(plan, records))
    assert analysis is not None
    assert [name for name, _ in analysis.enough] == ["segdec"]
    assert analysis.further == ()
    text = markdown_of(plan, records)
    assert "| segdec | new data |" in " ".join(text.split())
    assert "students → cropping" in [one.comparison for one in analysis.steps]


def test_what_to_label_next_is_said_of_one_method_at_a_time() -> None:
    further = next_labels(StudyResults(*ladder()))
    assert {labels.start.cell.trainable for labels in further if labels.start} == {"segdec"}
