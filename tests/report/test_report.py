"""The report: its numbers are the records', and nothing that was lost or departed from stays unsaid."""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console

from assay.analysis.names import plan_names
from assay.analysis.results.results import StudyResults
from assay.report.page.markdown import markdown_page, markdown_table
from assay.report.page.model import Column, Section, TextTable, superscript
from assay.report.page.terminal import terminal_page
from assay.report.pages import study_page
from assay.report.tables.cells import ablation_table, listed_trials
from assay.report.tables.footnotes import _counted, footnotes
from assay.storage import DamagedRecord
from assay.study import ManifestSummary, Plan
from tests.analysis.made_studies import (
    STUDY,
    lose,
    make_plan,
    make_records,
    markdown_of,
    moved,
    page_of,
)
from tests.study.searches import points_of, search_with
from tests.study.toy import plan as toy_plan

PLAN = make_plan()


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


@pytest.mark.parametrize("number", [0, 5, 6, 11])  # a trial of each cell
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


def test_a_lost_repeat_is_named_under_the_table() -> None:
    records = make_records(PLAN)
    lost = next(t for t in PLAN.trials if t.cell == "supervision=full stop=on")
    records[lost.id] = lose(lost, "diverged", "NaN loss at epoch 3")
    text = markdown_of(PLAN, records)
    assert "2 of 3 ¹" in text
    assert "- ¹ all masks, stop: n = 2 of 3: 1 diverged (NaN loss at epoch 3)" in text


def test_repeats_that_are_to_come_share_one_note() -> None:
    records = make_records(PLAN)
    first, second = PLAN.cells[0].name, PLAN.cells[1].name
    ended = next(t.id for t in PLAN.trials if t.cell == first)
    waits = {t.id for t in PLAN.trials if t.cell in (first, second)} - {ended}
    text = markdown_of(PLAN, {id_: record for id_, record in records.items() if id_ not in waits})
    assert "1 of 3 ¹" in text
    assert "0 of 3 ¹" in text
    assert f"- ¹ to come: {len(waits)} of {len(PLAN.trials)} trials" in text
    assert text.count("¹ to come") == 1


def test_a_row_whose_spread_is_over_fewer_repeats_than_planned_says_so() -> None:
    text = STUDY.replace("splits: per_seed", "splits: published").replace("2]}", "2], folds: [0, 1, 2]}")
    plan = make_plan(text)
    records = make_records(plan)
    cell = plan.cells[0].name
    one, two = (t for t in plan.trials if t.cell == cell and t.fold == 1 and t.seed < 2)
    records[one.id] = lose(one, "diverged")
    page = markdown_of(plan, records)
    assert "Mean ± standard deviation over 3 seeds (means over 3 folds), on test images." in page
    assert (
        f"- ¹ {plan_names(plan).variant(cell)}: n = 8 of 9: 1 diverged; ± over 2 seeds (means over 3 folds)"
        in page
    )
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
    assert "No validation images: last epoch, thresholds 0.5 where nothing else chooses them." in page
    assert "2 images of fold 0 are also in fold 1" in page
    assert "Image threshold: at best validation F1. Pixel threshold: at best validation IoU." in page
    assert "Mean ± standard deviation over 3 seeds, on test images." in page


def test_an_allowed_difference_is_printed_with_its_reason() -> None:
    allowed = PLAN.comparisons[0].model_copy(update={"allowed": {"config.lr": "the paper's own setting"}})
    page = markdown_of(with_changes(PLAN, comparisons=(allowed,)), make_records(PLAN))
    assert "Stop: the variants also differ in `config.lr`, allowed because: the paper's own setting." in page


def test_a_level_that_sets_several_things_is_printed_as_a_bundle() -> None:
    bundle = "on: {config: {gradient_stop: true, lr: 0.5}}"
    plan = make_plan(STUDY.replace("on: {config: {gradient_stop: true}}", bundle))
    page = markdown_of(plan, make_records(plan))
    assert re.search(r"- Stop changes `config\.(lr|gradient_stop)`, `config\.\w+` together\.", page)
    assert "together" not in markdown_of(PLAN, make_records(PLAN))


def test_a_note_of_some_cells_names_them() -> None:
    first, *others = PLAN.cells
    noted = first.model_copy(update={"footnotes": ("drop_last: as published.",)})
    page = markdown_of(with_changes(PLAN, cells=(noted, *others)), make_records(PLAN))
    assert "- drop_last: as published (in all masks)." in page


def test_a_note_of_the_evaluation_is_printed_once_with_its_cells() -> None:
    note = "pixel threshold: best F1 of heatmap maxima on validation labels, no mask read"
    records = make_records(PLAN)
    for trial in PLAN.trials:
        result = records[trial.id].result
        if trial.levels["supervision"] == "few" and result is not None:
            changed = result.model_copy(update={"notes": (note,)})
            records[trial.id] = records[trial.id].model_copy(update={"result": changed})
    assert markdown_of(PLAN, records).count(f"- {note} (in 5 masks; 5 masks, stop).") == 1


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
    assert "- Published: " not in markdown_of(PLAN, make_records(PLAN))


def test_a_study_without_factors_has_one_row_with_its_name() -> None:
    plan = make_plan("study: one\ntrainable: segdec\ndata: {reader: synthetic, splits: per_seed}\n"
                     "config: {preset: ksdd, image_size: [128, 64]}\n")  # fmt: skip
    assert ablation_table(StudyResults(plan, make_records(plan))).rows[0][:2] == ("segdec", "0.800")


@pytest.mark.parametrize("more", ["", PUBLISHED], ids=["", "published"])
def test_the_terminal_shows_the_same_numbers_within_a_hundred_columns(more: str) -> None:
    plan = make_plan(STUDY + more)
    records = make_records(plan)
    console = Console(width=100, record=True, file=io.StringIO())
    page = page_of(plan, records)
    console.print(terminal_page(page, whole=True))
    shown = console.export_text()
    numbers = re.compile(r"[+−]?\d+\.\d+")
    short = markdown_page(replace(page, trials=Section("Trials", table=TextTable((), ()))))
    assert sorted(numbers.findall(shown)) == sorted(numbers.findall(short))
    assert max(map(len, shown.splitlines())) <= 100


def test_the_end_of_a_run_says_the_answer_before_the_table() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    page = study_page(StudyResults(PLAN, make_records(PLAN)), brief=True)
    console.print(terminal_page(page, rest="assay report additions --notes"))
    shown = console.export_text()
    parts = ("Which addition pays?", "verdict", "variant  ", "Notes and numbers behind it")
    places = [shown.index(part) for part in parts]
    assert places == sorted(places)
    assert "Details on" not in shown
    assert "sha256" not in shown


@pytest.mark.parametrize(("width", "shows"), [(60, False), (100, True)])
def test_a_narrow_terminal_leaves_out_spare_columns_and_names_them(width: int, shows: bool) -> None:
    columns = (
        Column("cell", "left"),
        Column("AP", "right"),
        Column("over test images", "right", spare=True),
    )
    table = TextTable(columns, (("a" * 30, "0.643 ± 0.176", "[0.566, 0.713]"),))
    console = Console(width=width, record=True, file=io.StringIO())
    page = page_of(PLAN, make_records(PLAN))
    console.print(terminal_page(replace(page, table=table, named=None, answer=None, sections=()), whole=True))
    shown = console.export_text()
    assert "0.643 ± 0.176" in shown
    assert ("[0.566, 0.713]" in shown) is shows
    assert ("- Not shown at this width: over test images." in shown) is not shows


def test_a_table_that_is_cut_has_the_notes_of_what_it_shows() -> None:
    # Of twenty rows the ten best stand on a screen: the last ones, whose marks have two digits.
    rows = tuple((f"row {number}", superscript(number)) for number in range(1, 21))
    notes = tuple(f"note {number}." for number in range(1, 21))
    table = TextTable((Column("name", "left"), Column("n", "right")), rows, notes)
    page = replace(page_of(PLAN, make_records(PLAN)), table=table, named=None, answer=None)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_page(replace(page, best_first=tuple(range(19, -1, -1)))))
    assert re.findall(r"note \d+", console.export_text()) == ["note 11", "note 12", "note 13"]


def test_markdown_lines_up_and_stays_within_a_hundred_and_ten_columns() -> None:
    blocks = markdown_of(PLAN, make_records(PLAN)).split("\n\n")
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    # Cells, intervals, further, trials; for each claim comparisons, details, effects and interactions.
    assert len(tables) == 12
    assert all(len({len(line) for line in lines}) == 1 for lines in tables)
    assert max(len(line) for lines in tables for line in lines) <= 110


def test_the_page_says_how_many_trials_ended_how_and_on_which_data() -> None:
    data = ManifestSummary(
        hash="a", reader="mtd", images=9, defective=4, with_mask=4, folds=(), pixels="8 bits"
    )
    records = make_records(PLAN)
    del records[PLAN.trials[0].id]
    page = markdown_of(with_changes(PLAN, manifests={"a": data}), records)
    assert "12 trials of 4 variants: 11 finished, 1 missing. Data: mtd, 9 images, 4 defective." in page


def test_pictures_stand_on_the_page_with_their_captions() -> None:
    page = page_of(PLAN, make_records(PLAN))
    text = markdown_page(page, {"effects": "x_files/a%20b.svg"})
    assert page.figure is not None
    assert page.figure.stem == "comparisons"
    (picture,) = page.pictures
    assert f"![{picture.alt}](x_files/a%20b.svg)\n\n*{picture.caption}*" in text
    assert text.count("![") == 1


def test_text_from_a_study_cannot_break_the_table() -> None:
    table = ablation_table(StudyResults(PLAN, make_records(PLAN)))
    broken = type(table)(table.columns, (("a|b\nc", *table.rows[0][1:]),))
    assert "a\\|b c" in markdown_table(broken)


def test_cells_that_were_searched_have_each_a_footnote_of_what_their_winner_changes() -> None:
    within = {"points": 2, "within": "cell", "objective": {"max": "validation.image_ap"}}
    factors = {"c": {"off": {"config": {"c": 0}}, "on": {"config": {"c": 1}}}}
    study = search_with(
        search=within, factors=factors, design={"full": "all"},
        replicate={"best": 1, "start": True, "seeds": [10, 11]},
    )  # fmt: skip
    searches = toy_plan(study)
    points = points_of(searches, {"config.lr": 0.5, "config.a": 2}, {"config.lr": 0.1, "config.a": 0})
    points = [p.model_copy(update={"source": "preset"}) if p.index else p for p in points]
    grown = searches.with_points(points).with_winners(points, complete=True)
    notes = [note for note in footnotes(StudyResults(grown, {})) if "together" in note]
    assert notes == [
        f"Best point instead of the preset within {cell} changes `config.lr`, `config.a` together."
        for cell in ("no c", "c")
    ]


def test_a_trial_alone_is_one() -> None:
    assert listed_trials([("base", "0", "a1", "finished")], [], folds=False).intro.startswith("1 trial, on")
    assert _counted(Counter({"fixed 0.5": 2, "IoU": 1})) == "fixed 0.5 (2 trials), IoU (1 trial)"
