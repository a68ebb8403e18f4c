"""The report: its numbers are the records', and nothing that was lost or departed from stays unsaid."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from assay.results import Problem, Record
from assay.results.report import report
from assay.results.tables import ablation_table, comparison_table
from assay.results.terminal import terminal_report
from assay.study import ManifestSummary, Plan
from tests.results.made_studies import STUDY, lose, make_plan, make_record, make_records

PLAN = make_plan()


def moved(record: Record, metric: str, by: float) -> Record:
    assert record.result is not None
    metrics = {**record.result.metrics, metric: record.result.metrics[metric] + by}
    return record.model_copy(update={"result": record.result.model_copy(update={"metrics": metrics})})


def cells(markdown: str) -> dict[tuple[int, int], str]:
    """Text by row and column of all tables of a page."""
    lines = markdown.splitlines()
    return {(i, j): cell.strip() for i, line in enumerate(lines) for j, cell in enumerate(line.split("|"))}


def test_the_table_shows_levels_mean_spread_and_n() -> None:
    assert [column.title for column in ablation_table(PLAN, {}).columns] == [
        "supervision", "stop", "AP ↑", "FP ↓", "IoU ↑", "n",
    ]  # fmt: skip
    assert ablation_table(PLAN, make_records(PLAN)).rows[1] == (
        "full", "✓", "0.880 ± 0.010", "4.0 ± 1.0", "0.440 ± 0.005", "3",
    )  # fmt: skip


@pytest.mark.parametrize("number", range(12))
def test_moving_one_score_by_a_hundredth_changes_exactly_its_cell(number: int) -> None:
    plan = make_plan(
        STUDY.replace("comparisons: [{factor: stop}, {factor: supervision, from: few, to: full}]", "")
    )
    trial, records = plan.trials[number], make_records(plan)
    before = cells(report(plan, records))
    after = cells(report(plan, records | {trial.id: moved(records[trial.id], "image_ap", 0.01)}))
    changed = [place for place in before if before[place] != after[place]]
    first_row = next(row for (row, _), text in before.items() if text.startswith(":-")) + 1
    row = [cell.name for cell in plan.cells].index(trial.cell)
    assert before.keys() == after.keys()
    assert changed == [(first_row + row, 3)]


def test_a_hundredth_in_one_of_eighteen_repeats_still_shows() -> None:
    plan = make_plan(STUDY.replace("[0, 1, 2]", str(list(range(18)))))
    records = make_records(plan)
    trial = plan.trials[0]
    after = records | {trial.id: moved(records[trial.id], "image_ap", 0.01)}
    assert ablation_table(plan, records).rows[0] != ablation_table(plan, after).rows[0]


def test_moving_one_score_moves_only_the_differences_its_cell_is_part_of() -> None:
    records = make_records(PLAN)
    trial = next(t for t in PLAN.trials if t.cell == "few·on")
    before = comparison_table(PLAN, records)
    after = comparison_table(PLAN, records | {trial.id: moved(records[trial.id], "image_ap", 0.03)})
    assert before is not None
    assert after is not None
    pairs = [pair for comparison in PLAN.comparisons for pair in comparison.pairs]
    changed = [pair for pair, a, b in zip(pairs, before.rows, after.rows, strict=True) if a != b]
    assert changed == [("few·off", "few·on"), ("few·on", "full·on")]


def test_a_comparison_is_the_difference_of_means_and_better_in_k_of_n() -> None:
    table = comparison_table(PLAN, make_records(PLAN))
    assert table is not None
    assert table.rows[0] == ("stop: off → on", "full·…", "+0.050", "3 of 3")


def test_better_means_lower_where_the_metric_counts_errors() -> None:
    plan = make_plan(STUDY.replace("primary: image_ap, report: [fp, pixel_iou]", "primary: fp, report: []"))
    records = {t.id: make_record(t, lambda t: {"fp": 2.0 - (t.levels["stop"] == "on")}) for t in plan.trials}
    table = comparison_table(plan, records)
    assert table is not None
    assert table.rows[0][2:] == ("−1.0", "3 of 3")
    assert table.rows[2][2:] == ("0.0", "0 of 3, 3 tied")


def test_a_comparison_is_over_the_repeats_that_both_cells_have() -> None:
    records = make_records(PLAN)
    lost = next(t for t in PLAN.trials if t.cell == "full·on" and t.seed == 2)
    del records[lost.id]
    table = comparison_table(PLAN, records)
    assert table is not None
    assert table.rows[0][2:] == ("+0.050", "2 of 2 (1 lost)")


def test_a_lost_repeat_is_named_under_the_table() -> None:
    records = make_records(PLAN)
    lost = next(t for t in PLAN.trials if t.cell == "full·on")
    records[lost.id] = lose(lost, "diverged", "NaN loss at epoch 3")
    text = report(PLAN, records)
    assert "2 of 3 ¹" in text
    assert "- ¹ full·on: n = 2 of 3: 1 diverged (NaN loss at epoch 3)" in text


def test_a_row_whose_spread_is_over_fewer_repeats_than_planned_says_so() -> None:
    text = STUDY.replace("splits: per_seed", "splits: published").replace("2]}", "2], folds: [0, 1, 2]}")
    plan = make_plan(text)
    records = make_records(plan)
    cell = plan.cells[0].name
    one, two = (t for t in plan.trials if t.cell == cell and t.fold == 1 and t.seed < 2)
    records[one.id] = lose(one, "diverged")
    page = report(plan, records)
    assert "Mean ± standard deviation over 3 seeds (means over 3 folds), on test images." in page
    assert f"- ¹ {cell}: n = 8 of 9: 1 diverged; ± over 2 seeds (means over 3 folds)" in page
    records[two.id] = lose(two, "diverged")
    assert "n = 7 of 9: 2 diverged; no ± over 1 seed (means over 3 folds)" in report(plan, records)


def test_an_unreadable_record_is_named_and_the_rest_is_shown() -> None:
    records = make_records(PLAN)
    trial = PLAN.trials[0]
    del records[trial.id]
    problem = Problem(trial.id, f"trials/{trial.id}/record.json", "not a record")
    text = report(PLAN, records, [problem])
    assert f"trials/{trial.id}/record.json" in text
    assert "1 missing (its record cannot be read)" in text
    assert "0.880 ± 0.010" in text


def with_changes(plan: Plan, **changes: object) -> Plan:
    return plan.model_copy(update=changes)


def test_footnotes_say_what_a_reader_must_know() -> None:
    text = STUDY.replace("splits: per_seed", "splits: published, validation: none")
    plan = with_changes(make_plan(text), warnings=("2 images of fold 0 are also in fold 1: a.png, b.png.",))
    page = report(plan, make_records(plan))
    assert "No validation images, as in the published protocol: last epoch, thresholds 0.5." in page
    assert "2 images of fold 0 are also in fold 1" in page
    assert "Image threshold: validation F1. Pixel threshold: validation IoU." in page
    assert "Mean ± standard deviation over 3 seeds, on test images." in page


def test_an_allowed_difference_is_printed_with_its_reason() -> None:
    allowed = PLAN.comparisons[0].model_copy(update={"allowed": {"config.lr": "the paper's own setting"}})
    page = report(with_changes(PLAN, comparisons=(allowed,)), make_records(PLAN))
    assert (
        "stop: off → on: the cells also differ in `config.lr`, allowed because: the paper's own setting."
        in page
    )


def test_a_level_that_sets_several_things_is_printed_as_a_bundle() -> None:
    bundle = "on: {config: {gradient_stop: true, lr: 0.5}}"
    plan = make_plan(STUDY.replace("on: {config: {gradient_stop: true}}", bundle))
    page = report(plan, make_records(plan))
    assert re.search(r"- stop: off → on changes `config\.(lr|gradient_stop)`, `config\.\w+` together\.", page)
    assert "together" not in report(PLAN, make_records(PLAN))


def test_a_note_of_some_cells_names_them() -> None:
    first, *others = PLAN.cells
    noted = first.model_copy(update={"footnotes": ("drop_last: as published.",)})
    page = report(with_changes(PLAN, cells=(noted, *others)), make_records(PLAN))
    assert "- drop_last: as published (in full·off)." in page


def test_a_note_of_the_evaluation_is_printed_once_with_its_cells() -> None:
    note = "pixel threshold: best F1 of heatmap maxima on validation labels, no mask read"
    records = make_records(PLAN)
    for trial in PLAN.trials:
        result = records[trial.id].result
        if trial.levels["supervision"] == "few" and result is not None:
            changed = result.model_copy(update={"notes": (note,)})
            records[trial.id] = records[trial.id].model_copy(update={"result": changed})
    assert report(PLAN, records).count(f"- {note} (in few·off, few·on).") == 1


PUBLISHED = """
published:
  source: Somebody 2021, Table 4.
  rows:
    - {at: {supervision: full, stop: on}, values: {image_ap: 0.9975, fp: 2}}
    - {at: {supervision: few}, values: {image_ap: 1.0}}
"""


def test_published_figures_stand_beside_the_metric_with_the_decimals_they_have() -> None:
    plan = make_plan(STUDY + PUBLISHED)
    table = ablation_table(plan, make_records(plan))
    assert [column.title for column in table.columns] == [
        "supervision", "stop", "AP ↑", "published", "FP ↓", "published", "IoU ↑", "n",
    ]  # fmt: skip
    assert [row[3] for row in table.rows] == ["–", "0.9975", "1.0000", "1.0000"]
    assert [row[5] for row in table.rows] == ["–", "2", "–", "–"]
    assert [row[:3] for row in table.rows] == [
        row[:3] for row in ablation_table(PLAN, make_records(PLAN)).rows
    ]


def test_the_source_of_published_figures_stands_below_the_table() -> None:
    plan = make_plan(STUDY + PUBLISHED)
    note = (
        "- Published: Somebody 2021, Table 4. The authors' figures under their own protocol, not reproduced "
        "here. Where one figure of the source covers several rows, it stands beside each."
    )
    assert note in report(plan, make_records(plan))
    alone = make_plan(STUDY + PUBLISHED.replace("supervision: few", "supervision: few, stop: on"))
    assert "Where one figure" not in report(alone, {})
    assert "ublished" not in report(PLAN, make_records(PLAN))


def test_a_study_without_factors_has_one_row_with_its_name() -> None:
    plan = make_plan("study: one\ntrainable: segdec\ndata: {reader: synthetic, splits: per_seed}\n"
                     "config: {preset: ksdd, image_size: [128, 64]}\n")  # fmt: skip
    assert ablation_table(plan, make_records(plan)).rows[0][:2] == ("base", "0.800")


@pytest.mark.parametrize("more", ["", PUBLISHED], ids=["", "published"])
def test_the_terminal_shows_the_same_numbers_within_a_hundred_columns(more: str) -> None:
    plan = make_plan(STUDY + more)
    records = make_records(plan)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(terminal_report(plan, records))
    shown = console.export_text()
    numbers = re.compile(r"[+−]?\d+\.\d+")
    assert numbers.findall(shown) == numbers.findall(report(plan, records))
    assert max(map(len, shown.splitlines())) <= 100


def test_markdown_lines_up_and_stays_within_a_hundred_columns() -> None:
    lines = [line for line in report(PLAN, make_records(PLAN)).splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 2
    assert max(map(len, lines)) <= 100


def test_the_page_says_how_many_trials_ended_how_and_on_which_data() -> None:
    data = ManifestSummary(hash="a", reader="mtd", images=9, defective=4, with_mask=4, folds=())
    records = make_records(PLAN)
    del records[PLAN.trials[0].id]
    page = report(with_changes(PLAN, manifests={"a": data}), records)
    assert "12 trials of 4 cells: 11 finished, 1 missing. Data: mtd, 9 images, 4 defective." in page


def test_pictures_stand_on_the_page_with_their_captions() -> None:
    page = report(PLAN, make_records(PLAN), pictures={"AP against masks.": "x_files/a%20b.svg"})
    assert "![AP against masks.](x_files/a%20b.svg)\n\n*AP against masks.*" in page


def test_text_from_a_study_cannot_break_the_table() -> None:
    table = ablation_table(PLAN, make_records(PLAN))
    broken = type(table)(table.columns, (("a|b\nc", *table.rows[0][1:]),))
    assert "a\\|b c" in broken.markdown()
