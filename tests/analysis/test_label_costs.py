"""What labels cost: hours from what the records counted, and the cells that nothing cheaper beats."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from assay.analysis.labels import LabelCosts, label_costs
from assay.analysis.results.results import StudyResults
from assay.storage import Record
from assay.study import Plan
from assay.study.search.points import make_point
from tests.analysis.label_studies import GRID, LINE, ladder, record_of, trained
from tests.analysis.made_studies import lose, make_plan
from trainables.plugins.catalogue import find_trainable

SEARCH = """
search: {within: cell, sampler: random, points: 2, objective: {max: validation.image_ap}}
space: {config.lr: {float: [0.1, 1.0]}}
replicate: {best: 2, seeds: [10, 11]}
"""
COUNTS = LINE.replace("report: []", "report: [fn]").replace("primary: image_ap", "primary: fp")


def costs_of(plan: Plan, records: Mapping[str, Record]) -> LabelCosts:
    costs = label_costs(StudyResults(plan, records))
    assert costs is not None
    return costs


def scored(scores: Mapping[str, float], text: str = LINE, metric: str = "image_ap") -> LabelCosts:
    """Costs of a study whose cells have these scores in every repeat."""
    plan = make_plan(text)
    records: dict[str, Record] = {}
    for trial in plan.trials:
        record = record_of(trial, lambda images, masks: 0.5)
        assert record.result is not None
        result = record.result.model_copy(update={"metrics": {metric: scores[trial.cell]}})
        records[trial.id] = record.model_copy(update={"result": result})
    return costs_of(plan, records)


def front(costs: LabelCosts) -> list[str]:
    return [cell.cell.name for cell in costs.cells if cell.on_front]


def test_hours_are_those_of_every_training_image_and_every_mask() -> None:
    costs = costs_of(*trained(LINE, lambda images, masks: 0.5))
    seconds = {cell.cell.name: cell.hours * 3600 for cell in costs.cells}
    images = 100.2  # 100, and 101 for one seed of five
    assert seconds == pytest.approx(
        {"n0": 3 * images, "n5": 3 * images + 450, "n15": 3 * images + 1350, "all": 3 * images + 90 * 40.2}
    )


def test_normal_images_alone_cost_their_labels() -> None:
    costs = costs_of(*ladder())
    only = next(cell for cell in costs.cells if cell.cell.name == "students")
    assert (only.image_labels, only.defective, only.masks, only.hours * 3600) == pytest.approx((60, 0, 0, 60))


def test_a_line_of_a_ladder_is_one_method_with_more_labels_and_all_else_stands_alone() -> None:
    costs = costs_of(*ladder())
    assert {line[0].line: [cell.cell.name for cell in line] for line in costs.lines} == {
        "f anogan": ["f_anogan"],
        "students": ["students"],
        "cam": ["cam"],
        "cropping": ["cropping"],
        "region cam": ["region_cam"],
        "segdec": ["segdec_n0", "segdec_n5", "segdec_all"],
        "unet all": ["unet_all"],
    }


def test_the_front_of_a_ladder_runs_across_its_methods() -> None:
    assert front(costs_of(*ladder(noise=0))) == ["students", "cropping", "segdec_n5", "segdec_all"]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({"n0": 0.7, "n5": 0.8, "n15": 0.9, "all": 0.95}, ["n0", "n5", "n15", "all"]),
        ({"n0": 0.7, "n5": 0.9, "n15": 0.8, "all": 0.95}, ["n0", "n5", "all"]),
        ({"n0": 0.9, "n5": 0.9, "n15": 0.8, "all": 0.9}, ["n0"]),
    ],
    ids=["rising", "one beaten", "equal for less"],
)
def test_a_cell_is_off_the_front_only_where_a_cheaper_one_is_as_good(
    scores: dict[str, float], expected: list[str]
) -> None:
    assert front(scored(scores)) == expected


def test_of_errors_fewer_are_better() -> None:
    assert front(scored({"n0": 5, "n5": 7, "n15": 4, "all": 4}, COUNTS, "fp")) == ["n0", "n15"]


def test_scores_labels_and_front_are_of_the_repeats_that_all_cells_have() -> None:
    plan, records = trained(LINE, lambda images, masks: 0.8)  # 0.01 more with each seed
    lucky = {t.id: lose(t, "failed") for t in plan.trials if t.cell == "n15" and t.seed < 4}
    costs = costs_of(plan, records | lucky)
    cells = {cell.cell.name: cell for cell in costs.cells}
    assert cells["n15"].mean == cells["n0"].mean == pytest.approx(0.84)
    assert cells["n15"].image_labels == cells["n0"].image_labels
    assert front(costs) == ["n0"]
    assert (costs.repeats, costs.fewer) == ("1 seed", True)


def test_where_all_cells_have_all_repeats_none_is_left_out() -> None:
    costs = costs_of(*trained(LINE, lambda images, masks: 0.8))
    assert (costs.repeats, costs.fewer) == ("5 seeds", False)


def test_cells_without_a_repeat_in_common_have_no_front() -> None:
    plan, records = trained(LINE, lambda images, masks: 0.8)
    kept = {
        t.id: records[t.id] for t in plan.trials if t.seed == (t.cell == "n15")
    }  # seed 1 of n15, seed 0 of the others
    assert front(costs_of(plan, kept)) == []


def test_data_sets_have_fronts_of_their_own() -> None:
    two = LINE.replace("design:", "  kind: {a: {data: {options: {seed: 1}}}, b: {}}\ndesign:")
    plan, records = trained(two, lambda images, masks: 0.5 + 0.01 * masks)
    costs = costs_of(plan, records)
    assert [[cell.cell.name for cell in one] for one in costs.fronts] == [
        ["masks=n0 kind=a", "masks=n5 kind=a", "masks=n15 kind=a", "masks=all kind=a"],
        ["masks=n0 kind=b", "masks=n5 kind=b", "masks=n15 kind=b", "masks=all kind=b"],
    ]


@pytest.mark.parametrize(
    ("data", "level"),
    [
        ("classes: [blob], others: leave_out", "others: normal"),
        ("splits: per_seed", 'item: "{part}_{view}"'),
    ],
    ids=["defects of other classes", "items, which parts are drawn by"],
)
def test_cells_with_other_test_images_are_not_on_one_front(data: str, level: str) -> None:
    text = LINE.replace("splits: per_seed", data)
    two = text.replace("design:", f"  kind: {{a: {{data: {{{level}}}}}, b: {{}}}}\ndesign:")
    plan, records = trained(two, lambda images, masks: 0.5 + 0.01 * masks)
    costs = costs_of(plan, records)
    assert [{cell.cell.levels["kind"] for cell in one} for one in costs.fronts] == [{"a"}, {"b"}]


def test_lines_run_along_the_masks_and_smaller_training_sets_are_alternatives() -> None:
    costs = costs_of(*trained(GRID, lambda images, masks: 0.5 + 0.01 * masks))
    assert [[cell.cell.name for cell in line] for line in costs.lines] == [
        [f"masks=n{masks} images={images}" for masks in (2, 5, 15)] for images in ("p20", "p30", "p40")
    ]
    assert len({cell.data for cell in costs.cells}) == 1


def test_a_study_without_costs_or_without_other_labels_has_none() -> None:
    plan, records = trained(LINE.replace("labelling:", "#"), lambda images, masks: 0.5)
    assert label_costs(StudyResults(plan, records)) is None
    plan, records = trained(LINE, lambda images, masks: 0.5)
    assert (
        label_costs(StudyResults(plan, {t.id: records[t.id] for t in plan.trials if t.cell == "n5"})) is None
    )
    assert label_costs(StudyResults(plan, {})) is None


def test_of_a_search_the_best_point_of_each_level_stands_for_it() -> None:
    plan = make_plan(LINE + SEARCH)
    points = [
        make_point(
            plan.study, find_trainable("segdec"), searched, "cpu", index=index, source="random", values=drawn
        )
        for searched in plan.searched
        for index, drawn in enumerate(({"config.lr": 0.5}, {"config.lr": 0.25}))
    ]
    # Of each cell the later point is the better one.
    grown = plan.with_points(points).with_winners(points[::-1], complete=True)
    records = {trial.id: record_of(trial, lambda images, masks: 0.5) for trial in grown.trials}
    names = {cell.cell.name for cell in costs_of(grown, records).cells}
    assert names == {f"{level} #1 replicated" for level in ("n0", "n5", "n15", "all")}
