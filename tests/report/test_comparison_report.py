"""Comparisons in a report: differences, intervals, families and verdicts, as the records have them."""

from __future__ import annotations

import pytest

from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.report.page.markdown import markdown_page
from assay.report.page.model import Section, TextTable
from assay.report.pages import study_page
from assay.report.tables.cells import bold_notes
from assay.report.tables.comparisons import comparison_sections
from assay.statistics.families import Best
from assay.storage import Record
from assay.study import Plan, Trial
from tests.analysis.made_studies import (
    STUDY,
    lose,
    make_plan,
    make_record,
    make_records,
    markdown_of,
    moved,
)
from trainables.evaluation.metrics import METRICS

PLAN = make_plan()


def sections_of(plan: Plan, records: dict[str, Record]) -> dict[str, Section]:
    """Sections by the first word of their titles."""
    sections = comparison_sections(StudyResults(plan, records))
    return {section.title.partition(" ")[0]: section for section in sections}


def comparisons_of(plan: Plan, records: dict[str, Record]) -> TextTable:
    return sections_of(plan, records)["Comparisons"].table


def noisy(trial: Trial) -> dict[str, float]:
    """AP of about 0.8; `stop` adds 0.05 and a little of its own for each seed."""
    gain = (0.05 + 0.002 * (trial.seed % 5)) * (trial.levels["stop"] == "on")
    return {"image_ap": 0.8 + 0.01 * trial.seed + gain, "fp": 3.0, "pixel_iou": 0.5}


def with_seeds(number: int) -> Plan:
    """The study on one split with so many seeds."""
    text = STUDY.replace("splits: per_seed", "splits: published")
    return make_plan(text.replace("[0, 1, 2]", str(list(range(number)))))


def noisy_records(plan: Plan) -> dict[str, Record]:
    return {trial.id: make_record(trial, noisy) for trial in plan.trials}


def test_a_comparison_has_its_difference_interval_p_and_verdict() -> None:
    plan = with_seeds(8)
    table = comparisons_of(plan, noisy_records(plan))
    assert [column.title for column in table.columns] == [
        "change", "difference in AP", "better in", "adjusted p", "verdict",
    ]  # fmt: skip
    assert table.rows[0] == (
        "stop with all masks",
        "+0.053 [0.051, 0.056]",
        "8 of 8",
        ".008",
        "significant",
    )
    assert table.rows[2][2:] == ("0 of 8, 8 tied", "1", "identical ¹")
    assert table.notes[0].startswith("no spread seen; all equal: with 95 % confidence fewer than 31 % of")


def test_the_details_have_what_stands_behind_a_verdict() -> None:
    plan = with_seeds(8)
    details = sections_of(plan, noisy_records(plan))["Details"]
    assert [column.title for column in details.table.columns] == [
        "change", "n", "p", "g", "more repeats",
    ]  # fmt: skip
    assert details.table.rows[0][1:3] == ("8", ".008")


def test_the_smallest_p_is_told_where_it_forbids_a_verdict() -> None:
    plan = with_seeds(5)
    details = sections_of(plan, noisy_records(plan))["Details"]
    assert [column.title for column in details.table.columns][3] == "smallest p"
    assert details.table.rows[0][3] == ".0625"


def test_the_spread_is_known_to_as_many_repeats_as_the_open_comparisons_have() -> None:
    def scores(trial: Trial) -> dict[str, float]:
        return {**noisy(trial), "image_ap": 0.7 + 0.01 * (len(trial.cell) * (trial.seed + 3) ** 2 % 7)}

    plan = with_seeds(6)
    lost = [trial for trial in plan.trials if trial.cell == "supervision=full stop=off" and trial.seed > 3]
    records = {trial.id: make_record(trial, scores) for trial in plan.trials}
    notes = sections_of(plan, records | {trial.id: lose(trial, "failed") for trial in lost})["Details"].notes
    assert "what 4 to 6 repeats know of the spread" in " ".join(notes)


def test_further_metrics_are_families_of_their_own_and_called_exploratory() -> None:
    plan = with_seeds(8)
    section = sections_of(plan, noisy_records(plan))["Further"]
    assert section.intro.startswith("Exploratory: the question was asked of AP.")
    assert [row[0] for row in section.table.rows] == ["FP ↓"] * 4 + ["IoU ↑"] * 4
    further = study_analysis(StudyResults(plan, noisy_records(plan))).further
    assert {(result.metric, result.family, result.m) for result in further} == {
        ("fp", "further metrics", 4),
        ("pixel_iou", "further metrics", 4),
    }


def test_the_mark_of_a_disagreement_is_explained_in_every_table_that_has_it() -> None:
    gains = [0.001, 0.002, 0.003, 0.002, 0.001, 0.2]  # p = .031, and a wide interval

    def scores(trial: Trial) -> dict[str, float]:
        gain = gains[trial.seed] * (trial.levels["stop"] == "on")
        return {"image_ap": 0.7 + gain, "fp": 3.0, "pixel_iou": 0.5 + gain}

    plan = with_seeds(6)
    found = sections_of(plan, {trial.id: make_record(trial, scores) for trial in plan.trials})
    for name in ("Comparisons", "Main", "Further"):
        table = found[name].table
        assert table is not None
        assert any("†" in text for row in table.rows for text in row), name
        assert any(note.startswith("† ") for note in found[name].notes), name


def test_fewer_false_alarms_are_better() -> None:
    def scores(trial: Trial) -> dict[str, float]:
        return {**noisy(trial), "fp": 9.0 - (trial.cell == "supervision=full stop=on") - trial.seed % 2}

    plan = with_seeds(8)
    records = {trial.id: make_record(trial, scores) for trial in plan.trials}
    (row, *_) = sections_of(plan, records)["Further"].table.rows
    assert row[1:3] == ("stop with all masks", "−1.0 [−1.8, −0.2]")


def test_pairs_that_nesting_makes_are_told_apart_by_the_nested_level() -> None:
    wide = (
        "  wide: {one: {config: {w_pos: 1.0}}, three: {config: {w_pos: 3.0}}}\nnested: {wide: {stop: on}}\n"
    )
    plan = make_plan(STUDY.replace("design:", f"{wide}design:"))
    rows = comparisons_of(plan, make_records(plan)).rows
    assert [row[0] for row in rows[:2]] == [
        "stop with all masks, wide one",
        "stop with all masks, wide three",
    ]


def test_too_few_repeats_are_told_from_when_on_they_speak() -> None:
    plan = with_seeds(5)
    page = markdown_of(plan, noisy_records(plan))
    assert "suggested" in page
    assert "With 5 repeats the exact test cannot go below p = .0625; 1 more could reach .031." in page


def test_of_two_repeats_both_differences_are_shown() -> None:
    plan = with_seeds(2)
    table = comparisons_of(plan, noisy_records(plan))
    assert table.rows[0][1:] == ("+0.051 (+0.050, +0.052)", "2 of 2", "–", "too few runs")
    assert "Details" not in sections_of(plan, noisy_records(plan))


def test_prescribed_folds_are_claimed_for_these_folds_and_for_new_data() -> None:
    text = STUDY.replace("splits: per_seed", "splits: published").replace("2]}", "2], folds: [0, 1, 2]}")
    plan = make_plan(text)
    page = markdown_of(plan, make_records(plan))
    assert "Holds for these folds: 95 % intervals over seeds." in page.partition("## Variants")[0]
    assert "## Comparisons on new data" in page
    assert "Nadeau–Bengio's t" in page


def test_a_full_factorial_has_main_effects_and_interactions() -> None:
    plan = with_seeds(8)
    found = sections_of(plan, noisy_records(plan))
    assert [row[0] for row in found["Main"].table.rows] == [
        "5 masks instead of all, on average",
        "stop, on average",
    ]
    assert found["Main"].title == "Main effects on this split"
    assert found["Main"].table.rows[1][1] == "+0.053 [0.051, 0.056]"
    assert [row[0] for row in found["Interactions"].table.rows] == ["supervision × stop"]
    rows = make_plan(STUDY.replace("{full: all}", "{rows: [{supervision: [full, few], stop: on}]}").replace(
        "{factor: stop}, ", ""))  # fmt: skip
    assert "Main" not in sections_of(rows, make_records(rows))


def test_the_best_cells_are_bold_and_the_page_says_what_that_means() -> None:
    plan = with_seeds(8)
    page = markdown_of(plan, noisy_records(plan))
    assert page.partition("## Variants")[2].count("**") == 2 * 2
    assert "Bold: the best AP, and what cannot be told from it (8 common repeats, this split)." in page
    few = markdown_of(PLAN, make_records(PLAN))
    assert "**" not in few.partition("## Variants")[2]
    assert "Not distinguishable: no AP is bold (3 common repeats, this data)." in few


def test_one_common_repeat_is_one() -> None:
    (note,) = bold_notes(Best(frozenset({"a"}), "this split", 1), METRICS["image_ap"], {"a": 0.9})
    assert "(1 common repeat, this split)" in note


@pytest.mark.parametrize(
    ("means", "told"),
    [
        ({"a": 0.9, "b": 0.8, "lost": None}, False),
        ({"a": 0.9, "b": 0.91}, True),  # as of more repeats, or of repeats that scatter less
        ({"a": 0.9}, False),
    ],
)
def test_a_bold_mean_that_is_worse_than_another_is_explained(
    means: dict[str, float | None], told: bool
) -> None:
    notes = bold_notes(Best(frozenset({"a"}), "this split", 6), METRICS["image_ap"], means)
    assert ("So a bold mean may be worse" in " ".join(notes)) is told


def test_earlier_looks_share_one_error_and_are_named() -> None:
    plan = with_seeds(10)
    results = StudyResults(plan, noisy_records(plan), looks=(5, 8))  # with 5 seeds it could not
    page = markdown_page(study_page(results))
    assert (
        "Answered at 2 numbers of seeds at which its test could speak: a sequential test, 5 % in all" in page
    )


def test_better_means_lower_where_the_metric_counts_errors() -> None:
    plan = make_plan(STUDY.replace("primary: image_ap, report: [fp, pixel_iou]", "primary: fp, report: []"))
    records = {t.id: make_record(t, lambda t: {"fp": 2.0 - (t.levels["stop"] == "on")}) for t in plan.trials}
    table = comparisons_of(plan, records)
    assert table.rows[0][1].startswith("−1.0 [")
    assert table.rows[0][2] == "3 of 3"
    assert table.rows[2][2] == "0 of 3, 3 tied"


def test_a_comparison_is_over_the_repeats_that_both_cells_have() -> None:
    records = make_records(PLAN)
    waited_for = next(t for t in PLAN.trials if t.cell == "supervision=full stop=on" and t.seed == 2)
    del records[waited_for.id]
    table = comparisons_of(PLAN, records)
    assert table.rows[0][1:3] == ("+0.050 (+0.050, +0.050)", "2 of 2 (1 to come)")


def test_moving_one_score_moves_only_the_differences_its_cell_is_part_of() -> None:
    records = make_records(PLAN)
    trial = next(t for t in PLAN.trials if t.cell == "supervision=few stop=on")
    before = comparisons_of(PLAN, records)
    after = comparisons_of(PLAN, records | {trial.id: moved(records[trial.id], "image_ap", 0.03)})
    pairs = [pair for comparison in PLAN.comparisons for pair in comparison.pairs]
    changed = [pair for pair, a, b in zip(pairs, before.rows, after.rows, strict=True) if a != b]
    assert changed == [
        ("supervision=few stop=off", "supervision=few stop=on"),
        ("supervision=few stop=on", "supervision=full stop=on"),
    ]


@pytest.mark.parametrize(
    ("waiting", "diverged", "text"),
    [(2, 0, "1 of 1 (2 to come)"), (0, 2, "1 of 1 (2 lost)"), (1, 1, "1 of 1 (2 lost or to come)")],
)
def test_repeats_that_wait_for_their_training_are_to_come_and_not_lost(
    waiting: int, diverged: int, text: str
) -> None:
    records = make_records(PLAN)
    first = [trial for trial in PLAN.trials if trial.cell == PLAN.cells[0].name]
    for trial in first[:waiting]:
        del records[trial.id]
    for trial in first[waiting : waiting + diverged]:
        records[trial.id] = lose(trial, "failed", "out of memory")
    assert text in {row[2] for row in comparisons_of(PLAN, records).rows}


def test_false_regions_of_which_there_are_fewer_than_one_in_ten_images_are_not_written_as_0() -> None:
    def few(trial: Trial) -> dict[str, float]:
        return {"false_regions": (0.012 if trial.levels["stop"] == "on" else 0.042) + trial.seed / 1000}

    plan = make_plan(STUDY.replace("primary: image_ap", "primary: false_regions"))
    text = markdown_of(plan, {trial.id: make_record(trial, few) for trial in plan.trials})
    assert "0.043 ± 0.001" in text
    assert "−0.030" in text
