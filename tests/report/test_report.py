"""The report: its numbers are the records', and nothing that was lost or departed from stays unsaid."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from assay.analysis.results import StudyResults
from assay.report.ablation_table import ablation_table
from assay.report.build import study_page
from assay.report.comparison_tables import comparison_sections
from assay.report.page.markdown import markdown_page, markdown_table
from assay.report.page.model import Column, Section, TextTable
from assay.report.terminal import terminal_page
from assay.storage import DamagedRecord, Record
from assay.study import ManifestSummary, Plan, Trial
from tests.analysis.made_studies import (
    STUDY,
    lose,
    make_plan,
    make_record,
    make_records,
    markdown_of,
    page_of,
)

PLAN = make_plan()


def moved(record: Record, metric: str, by: float) -> Record:
    assert record.result is not None
    metrics = {**record.result.metrics, metric: record.result.metrics[metric] + by}
    return record.model_copy(update={"result": record.result.model_copy(update={"metrics": metrics})})


def sections_of(plan: Plan, records: dict[str, Record]) -> dict[str, Section]:
    """Sections by the first word of their titles."""
    sections = comparison_sections(StudyResults(plan, records))
    return {section.title.partition(" ")[0]: section for section in sections}


def comparisons_of(plan: Plan, records: dict[str, Record]) -> TextTable:
    return sections_of(plan, records)["Comparisons"].table


def cells(markdown: str) -> dict[tuple[int, int], str]:
    """Text by row and column of all tables of a page."""
    lines = markdown.splitlines()
    return {(i, j): cell.strip() for i, line in enumerate(lines) for j, cell in enumerate(line.split("|"))}


def test_the_table_shows_levels_mean_spread_and_n() -> None:
    assert [column.title for column in ablation_table(StudyResults(PLAN, {})).columns] == [
        "supervision", "stop", "AP ↑", "FP ↓", "IoU ↑", "n",
    ]  # fmt: skip
    assert ablation_table(StudyResults(PLAN, make_records(PLAN))).rows[1] == (
        "full", "✓", "0.880 ± 0.010", "4.0 ± 1.0", "0.440 ± 0.005", "3",
    )  # fmt: skip


@pytest.mark.parametrize("number", range(12))
def test_moving_one_score_by_a_hundredth_changes_exactly_its_cell(number: int) -> None:
    plan = make_plan(
        STUDY.replace("comparisons: [{factor: stop}, {factor: supervision, from: few, to: full}]", "")
    )
    trial, records = plan.trials[number], make_records(plan)
    moved_records = records | {trial.id: moved(records[trial.id], "image_ap", 0.01)}
    before, after = (
        cells(markdown_table(ablation_table(StudyResults(plan, found), analysed=False)))
        for found in (records, moved_records)
    )
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
    assert (
        ablation_table(StudyResults(plan, records)).rows[0]
        != ablation_table(StudyResults(plan, after)).rows[0]
    )


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
        "comparison", "within", "difference in AP", "better in", "p (family)", "verdict",
    ]  # fmt: skip
    assert table.rows[0] == (
        "stop: off → on",
        "supervision=full",
        "+0.053 [0.051, 0.056]",
        "8 of 8",
        ".008",
        "shown",
    )
    assert table.rows[2][3:] == ("0 of 8, 8 tied", "1", "identical ¹")
    assert table.notes[0].startswith("no spread seen; all equal: with 95 % confidence fewer than 31 % of")


def test_the_details_have_what_stands_behind_a_verdict() -> None:
    plan = with_seeds(8)
    details = sections_of(plan, noisy_records(plan))["Details"]
    assert [column.title for column in details.table.columns] == [
        "comparison", "within", "n", "p", "smallest p", "g", "more repeats",
    ]  # fmt: skip
    assert details.table.rows[0][2:5] == ("8", ".008", ".008")


def test_further_metrics_are_families_of_their_own_and_called_exploratory() -> None:
    plan = with_seeds(8)
    section = sections_of(plan, noisy_records(plan))["Further"]
    assert section.intro.startswith("Exploratory: the question was asked of AP.")
    assert [row[0] for row in section.table.rows] == ["FP ↓"] * 4 + ["IoU ↑"] * 4
    further = StudyResults(plan, noisy_records(plan)).analysis.further
    assert {(result.metric, result.family, result.m) for result in further} == {
        ("fp", "further metrics", 4),
        ("pixel_iou", "further metrics", 4),
    }


def test_the_mark_of_a_disagreement_is_explained_in_every_table_that_has_it() -> None:
    gains = [
        0.001,
        0.002,
        0.003,
        0.002,
        0.001,
        0.2,
    ]  # p = .031, and a wide interval

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
    assert row[1:4] == ("stop: off → on", "supervision=full", "−1.0 [−1.8, −0.2]")


def test_pairs_that_nesting_makes_are_told_apart_by_the_nested_level() -> None:
    wide = (
        "  wide: {one: {config: {w_pos: 1.0}}, three: {config: {w_pos: 3.0}}}\nnested: {wide: {stop: on}}\n"
    )
    plan = make_plan(STUDY.replace("design:", f"{wide}design:"))
    rows = comparisons_of(plan, make_records(plan)).rows
    assert [row[1] for row in rows[:2]] == [
        "supervision=full wide=one",
        "supervision=full wide=three",
    ]


def test_too_few_repeats_are_told_from_when_on_they_speak() -> None:
    plan = with_seeds(5)
    page = markdown_of(plan, noisy_records(plan))
    assert "suggested" in page
    assert "With 5 repeats the exact test cannot go below p = .0625; 1 more could reach .031." in page


def test_of_two_repeats_both_differences_are_shown() -> None:
    plan = with_seeds(2)
    table = comparisons_of(plan, noisy_records(plan))
    assert table.rows[0][2:] == ("+0.051 (+0.050, +0.052)", "2 of 2", "–", "too few")
    assert "Details" not in sections_of(plan, noisy_records(plan))


def test_prescribed_folds_are_claimed_for_these_folds_and_for_new_data() -> None:
    text = STUDY.replace("splits: per_seed", "splits: published").replace("2]}", "2], folds: [0, 1, 2]}")
    plan = make_plan(text)
    page = markdown_of(plan, make_records(plan))
    assert "## Comparisons on these folds: would other seeds say the same?" in page
    assert "## Comparisons on new data: would other images of this kind say the same?" in page
    assert "Nadeau–Bengio's t" in page


def test_a_full_factorial_has_main_effects_and_interactions() -> None:
    plan = with_seeds(8)
    found = sections_of(plan, noisy_records(plan))
    assert [row[0] for row in found["Main"].table.rows] == ["supervision: full → few", "stop: off → on"]
    assert found["Main"].title == "Main effects on this split"
    assert found["Main"].table.rows[1][1] == "+0.053 [0.051, 0.056]"
    assert [row[0] for row in found["Interactions"].table.rows] == ["supervision × stop"]
    rows = make_plan(STUDY.replace("{full: all}", "{rows: [{supervision: [full, few], stop: on}]}").replace(
        "{factor: stop}, ", ""))  # fmt: skip
    assert "Main" not in sections_of(rows, make_records(rows))


def test_the_best_cells_are_bold_and_the_page_says_what_that_means() -> None:
    plan = with_seeds(8)
    page = markdown_of(plan, noisy_records(plan))
    assert page.count("**") == 2 * 2
    assert "Bold: the best AP, and what cannot be told from it (8 common repeats; claim: this split)." in page
    few = markdown_of(PLAN, make_records(PLAN))
    assert "**" not in few
    assert "Not distinguishable: no AP is bold (3 common repeats; claim: this data)." in few


def test_earlier_looks_share_one_error_and_are_named() -> None:
    plan = with_seeds(10)
    results = StudyResults(plan, noisy_records(plan), looks=(5, 8))  # with 5 seeds it could not
    page = markdown_page(study_page(results))
    assert "Answered at 2 numbers of seeds at which its test could speak: they share one error of 5 %" in page


def test_better_means_lower_where_the_metric_counts_errors() -> None:
    plan = make_plan(STUDY.replace("primary: image_ap, report: [fp, pixel_iou]", "primary: fp, report: []"))
    records = {t.id: make_record(t, lambda t: {"fp": 2.0 - (t.levels["stop"] == "on")}) for t in plan.trials}
    table = comparisons_of(plan, records)
    assert table.rows[0][2].startswith("−1.0 [")
    assert table.rows[0][3] == "3 of 3"
    assert table.rows[2][3] == "0 of 3, 3 tied"


def test_a_comparison_is_over_the_repeats_that_both_cells_have() -> None:
    records = make_records(PLAN)
    waited_for = next(t for t in PLAN.trials if t.cell == "supervision=full stop=on" and t.seed == 2)
    del records[waited_for.id]
    table = comparisons_of(PLAN, records)
    assert table.rows[0][2:4] == ("+0.050 (+0.050, +0.050)", "2 of 2 (1 to come)")


def test_a_lost_repeat_is_named_under_the_table() -> None:
    records = make_records(PLAN)
    lost = next(t for t in PLAN.trials if t.cell == "supervision=full stop=on")
    records[lost.id] = lose(lost, "diverged", "NaN loss at epoch 3")
    text = markdown_of(PLAN, records)
    assert "2 of 3 ¹" in text
    assert "- ¹ supervision=full stop=on: n = 2 of 3: 1 diverged (NaN loss at epoch 3)" in text


def test_a_row_whose_spread_is_over_fewer_repeats_than_planned_says_so() -> None:
    text = STUDY.replace("splits: per_seed", "splits: published").replace("2]}", "2], folds: [0, 1, 2]}")
    plan = make_plan(text)
    records = make_records(plan)
    cell = plan.cells[0].name
    one, two = (t for t in plan.trials if t.cell == cell and t.fold == 1 and t.seed < 2)
    records[one.id] = lose(one, "diverged")
    page = markdown_of(plan, records)
    assert "Mean ± standard deviation over 3 seeds (means over 3 folds), on test images." in page
    assert f"- ¹ {cell}: n = 8 of 9: 1 diverged; ± over 2 seeds (means over 3 folds)" in page
    records[two.id] = lose(two, "diverged")
    assert "n = 7 of 9: 2 diverged; no ± over 1 seed (means over 3 folds)" in markdown_of(plan, records)


def test_an_unreadable_record_is_named_and_the_rest_is_shown() -> None:
    records = make_records(PLAN)
    trial = PLAN.trials[0]
    del records[trial.id]
    problem = DamagedRecord(trial.id, f"trials/{trial.id}/record.json", "not a record")
    text = markdown_of(PLAN, records, [problem])
    assert f"trials/{trial.id}/record.json" in text
    assert "1 missing (its record is damaged)" in text
    assert "0.880 ± 0.010" in text


def with_changes(plan: Plan, **changes: object) -> Plan:
    return plan.model_copy(update=changes)


def test_footnotes_say_what_a_reader_must_know() -> None:
    text = STUDY.replace("splits: per_seed", "splits: published, validation: none")
    plan = with_changes(make_plan(text), warnings=("2 images of fold 0 are also in fold 1: a.png, b.png.",))
    page = markdown_of(plan, make_records(plan))
    assert "No validation images, as in the published protocol: last epoch, thresholds 0.5." in page
    assert "2 images of fold 0 are also in fold 1" in page
    assert "Image threshold: validation F1. Pixel threshold: validation IoU." in page
    assert "Mean ± standard deviation over 3 seeds, on test images." in page


def test_an_allowed_difference_is_printed_with_its_reason() -> None:
    allowed = PLAN.comparisons[0].model_copy(update={"allowed": {"config.lr": "the paper's own setting"}})
    page = markdown_of(with_changes(PLAN, comparisons=(allowed,)), make_records(PLAN))
    assert (
        "stop: off → on: the cells also differ in `config.lr`, allowed because: the paper's own setting."
        in page
    )


def test_a_level_that_sets_several_things_is_printed_as_a_bundle() -> None:
    bundle = "on: {config: {gradient_stop: true, lr: 0.5}}"
    plan = make_plan(STUDY.replace("on: {config: {gradient_stop: true}}", bundle))
    page = markdown_of(plan, make_records(plan))
    assert re.search(r"- stop: off → on changes `config\.(lr|gradient_stop)`, `config\.\w+` together\.", page)
    assert "together" not in markdown_of(PLAN, make_records(PLAN))


def test_a_note_of_some_cells_names_them() -> None:
    first, *others = PLAN.cells
    noted = first.model_copy(update={"footnotes": ("drop_last: as published.",)})
    page = markdown_of(with_changes(PLAN, cells=(noted, *others)), make_records(PLAN))
    assert "- drop_last: as published (in supervision=full stop=off)." in page


def test_a_note_of_the_evaluation_is_printed_once_with_its_cells() -> None:
    note = "pixel threshold: best F1 of heatmap maxima on validation labels, no mask read"
    records = make_records(PLAN)
    for trial in PLAN.trials:
        result = records[trial.id].result
        if trial.levels["supervision"] == "few" and result is not None:
            changed = result.model_copy(update={"notes": (note,)})
            records[trial.id] = records[trial.id].model_copy(update={"result": changed})
    assert (
        markdown_of(PLAN, records).count(f"- {note} (in supervision=few stop=off, supervision=few stop=on).")
        == 1
    )


PUBLISHED = """
published:
  source: Somebody 2021, Table 4.
  rows:
    - {at: {supervision: full, stop: on}, values: {image_ap: 0.9975, fp: 2}}
    - {at: {supervision: few}, values: {image_ap: 1.0}}
"""


def test_published_figures_stand_beside_the_metric_with_the_decimals_they_have() -> None:
    plan = make_plan(STUDY + PUBLISHED)
    table = ablation_table(StudyResults(plan, make_records(plan)))
    assert [column.title for column in table.columns] == [
        "supervision", "stop", "AP ↑", "published", "FP ↓", "published", "IoU ↑", "n",
    ]  # fmt: skip
    assert [row[3] for row in table.rows] == ["–", "0.9975", "1.0000", "1.0000"]
    assert [row[5] for row in table.rows] == ["–", "2", "–", "–"]
    assert [row[:3] for row in table.rows] == [
        row[:3] for row in ablation_table(StudyResults(PLAN, make_records(PLAN))).rows
    ]


def test_the_source_of_published_figures_stands_below_the_table() -> None:
    plan = make_plan(STUDY + PUBLISHED)
    note = (
        "- Published: Somebody 2021, Table 4. The authors' figures under their own protocol, not reproduced "
        "here. Where one figure of the source covers several rows, it stands beside each."
    )
    assert note in markdown_of(plan, make_records(plan))
    alone = make_plan(STUDY + PUBLISHED.replace("supervision: few", "supervision: few, stop: on"))
    assert "Where one figure" not in markdown_of(alone, {})
    assert "ublished" not in markdown_of(PLAN, make_records(PLAN))


def test_a_study_without_factors_has_one_row_with_its_name() -> None:
    plan = make_plan("study: one\ntrainable: segdec\ndata: {reader: synthetic, splits: per_seed}\n"
                     "config: {preset: ksdd, image_size: [128, 64]}\n")  # fmt: skip
    assert ablation_table(StudyResults(plan, make_records(plan))).rows[0][:2] == ("base", "0.800")


@pytest.mark.parametrize("more", ["", PUBLISHED], ids=["", "published"])
def test_the_terminal_shows_the_same_numbers_within_a_hundred_columns(more: str) -> None:
    plan = make_plan(STUDY + more)
    records = make_records(plan)
    console = Console(width=100, record=True, file=io.StringIO())
    page = page_of(plan, records)
    console.print(terminal_page(page))
    shown = console.export_text()
    numbers = re.compile(r"[+−]?\d+\.\d+")
    short = markdown_page(replace(page, intervals=None, trials=Section("Trials", table=TextTable((), ()))))
    assert numbers.findall(shown) == numbers.findall(short)
    assert max(map(len, shown.splitlines())) <= 100


def test_the_end_of_a_run_says_the_answer_before_the_table() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(terminal_page(study_page(StudyResults(PLAN, make_records(PLAN)), brief=True)))
    shown = console.export_text()
    asked, pays, table = map(shown.index, ("Differences in AP on this data", "Pays", "supervision   stop"))
    assert asked < pays < table < shown.index("Comparisons on this data")
    assert "Details on" not in shown
    assert "Further metrics" not in shown


@pytest.mark.parametrize(("width", "shows"), [(60, False), (100, True)])
def test_a_narrow_terminal_leaves_out_spare_columns_and_names_them(width: int, shows: bool) -> None:
    columns = (Column("cell", "left"), Column("AP", "right"), Column("item interval", "right", spare=True))
    table = TextTable(columns, (("a" * 30, "0.643 ± 0.176", "[0.566, 0.713]"),))
    console = Console(width=width, record=True, file=io.StringIO())
    page = page_of(PLAN, make_records(PLAN))
    console.print(terminal_page(replace(page, table=table, sections=())))
    shown = console.export_text()
    assert "0.643 ± 0.176" in shown
    assert ("[0.566, 0.713]" in shown) is shows
    assert ("- Columns for a wider terminal or a file: item interval." in shown) is not shows


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
    assert text in {row[3] for row in comparisons_of(PLAN, records).rows}


def test_markdown_lines_up_and_stays_within_a_hundred_columns() -> None:
    blocks = markdown_of(PLAN, make_records(PLAN)).split("\n\n")
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    # Cells, intervals, further, trials; for each claim comparisons, details, effects and interactions.
    assert len(tables) == 12
    assert all(len({len(line) for line in lines}) == 1 for lines in tables)
    assert max(len(line) for lines in tables for line in lines) <= 100


def test_the_page_says_how_many_trials_ended_how_and_on_which_data() -> None:
    data = ManifestSummary(hash="a", reader="mtd", images=9, defective=4, with_mask=4, folds=())
    records = make_records(PLAN)
    del records[PLAN.trials[0].id]
    page = markdown_of(with_changes(PLAN, manifests={"a": data}), records)
    assert "12 trials of 4 cells: 11 finished, 1 missing. Data: mtd, 9 images, 4 defective." in page


def test_pictures_stand_on_the_page_with_their_captions() -> None:
    page = page_of(PLAN, make_records(PLAN))
    text = markdown_page(page, {"comparisons": "x_files/a%20b.svg"})
    effects, picture = page.pictures
    assert effects.stem == "effects"
    assert f"![{picture.alt}](x_files/a%20b.svg)\n\n*{picture.caption}*" in text
    assert text.count("![") == 1


def test_text_from_a_study_cannot_break_the_table() -> None:
    table = ablation_table(StudyResults(PLAN, make_records(PLAN)))
    broken = type(table)(table.columns, (("a|b\nc", *table.rows[0][1:]),))
    assert "a\\|b c" in markdown_table(broken)
