"""A table for a paper: chosen columns, levels side by side, and the report's own numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from assay.analysis.results.results import StudyResults
from assay.report.page.latex import latex_float
from assay.report.page.markdown import markdown_table
from assay.report.tables.cells import ablation_table
from assay.report.tables.paper import PaperTable, paper_table
from assay.study import Trial
from tests.analysis.made_studies import lose, make_plan, make_record
from trainables.errors import InputError

_STUDY = """study: paper
trainable: segdec
data: {reader: synthetic, splits: published}
config: {preset: ksdd, image_size: [128, 64]}
factors:
  masks: {all: {supervision: full}, five: {supervision: {mixed: 5}}}
  stop: {off: {config: {gradient_stop: false}}, on: {config: {gradient_stop: true}}}
DESIGN
repeats: {seeds: [0, 1, 2]}
metrics: {primary: image_ap, report: [fp]}
"""
_FULL = "design: {full: all}"


def _results(design: str = _FULL) -> StudyResults:
    plan = make_plan(_STUDY.replace("DESIGN", design))

    def scores(trial: Trial) -> dict[str, float]:
        gain = 0.3 * (trial.levels["stop"] == "on") + 0.1 * (trial.levels["masks"] == "all")
        return {"image_ap": 0.4 + gain + 0.01 * trial.seed, "fp": 2.0}

    records = {trial.id: make_record(trial, scores) for trial in plan.trials}
    last = plan.trials[-1]
    return StudyResults(plan, records | {last.id: lose(last, "failed")})


def _made(
    columns: Sequence[str], across: str | None = None, *, design: str = _FULL, notes: bool = False
) -> PaperTable:
    return paper_table(_results(design), columns, across, notes=notes)


def _titles(made: PaperTable) -> list[str]:
    return [column.title for column in made.in_one_line.columns]


@pytest.mark.parametrize(
    ("columns", "titles"),
    [
        (["stop", "image_ap"], ["stop", "AP ↑"]),
        (["AP", "Stop "], ["AP ↑", "stop"]),
        (["fp", "variant", "n"], ["FP ↓", "variant", "n"]),
        (["fp", "FP", "FP ↓"], ["FP ↓"]),
        ([], ["masks", "stop", "AP ↑", "FP ↓", "n"]),
    ],
)
def test_columns_stand_in_the_order_in_which_they_are_named_each_once(
    columns: list[str], titles: list[str]
) -> None:
    assert _titles(_made(columns)) == titles


def test_levels_stand_side_by_side_below_one_heading_for_each_value() -> None:
    made = _made(["stop", "AP", "n"], "masks")
    assert _titles(made) == ["stop", "AP ↑, all masks", "AP ↑, five masks", "n, all masks", "n, five masks"]
    assert made.groups == (("", 1), ("AP ↑", 2), ("n", 2))
    assert [row[0] for row in made.table.rows] == ["–", "✓"]


def test_a_factor_that_has_words_is_one_column_and_known_by_its_name() -> None:
    worded = _STUDY.replace("stop: {off", "stop: {says: gradient stop, off")
    results = StudyResults(make_plan(worded.replace("DESIGN", _FULL)), {})
    whole = paper_table(results, [], "masks", notes=False)
    assert _titles(whole)[:2] == ["gradient stop", "AP ↑, all masks"]
    assert _titles(paper_table(results, ["stop", "n"], None, notes=False)) == ["gradient stop", "n"]
    assert "gradient stop" not in _titles(paper_table(results, [], "stop", notes=False))
    for name in ("stop", "Gradient stop"):
        with pytest.raises(InputError, match="among --columns"):
            paper_table(results, [name, "n"], "stop", notes=False)


def test_numbers_and_bold_type_are_those_of_the_report() -> None:
    report = ablation_table(_results())
    made = _made(["AP"], "masks").table
    whole = {row[2] for row in report.rows}
    assert {text for row in made.rows for text in row} == whole
    bold = {report.rows[row][column] for row, column in report.bold}
    assert {made.rows[row][column] for row, column in made.bold} == bold


def test_a_cell_that_the_design_leaves_out_is_a_dash() -> None:
    rows = "design: {rows: [{masks: [all, five], stop: off}, {masks: all, stop: on}]}"
    made = _made(["stop", "AP"], "masks", design=rows)
    assert [row[2] == "–" for row in made.table.rows] == [False, True]


def test_notes_and_the_marks_that_lead_to_them_are_left_out_unless_asked_for() -> None:
    without, with_notes = _made(["n"]), _made(["n"], notes=True)
    assert [row[0] for row in without.table.rows] == ["3", "3", "3", "2 of 3"]
    assert without.notes == ()
    assert with_notes.table.rows[-1] == ("2 of 3 ¹",)
    assert with_notes.notes


def test_latex_has_a_heading_above_the_levels_and_says_what_the_numbers_are() -> None:
    made = _made(["stop", "AP"], "masks")
    text = latex_float(made.title, made.caption, made.table, made.groups, made.notes)
    assert r"\multicolumn{2}{c}{AP $\uparrow$} \\" in text
    assert r"\cmidrule(lr){2-3}" in text
    assert r"stop & all masks & five masks \\" in text
    assert "standard deviation over" in text
    assert r"\label{tab:paper-paper}" in text


def test_a_table_too_wide_for_a_column_stands_over_both() -> None:
    for columns, name in ((["stop", "AP"], "table"), (["stop", "AP", "fp", "n"], "table*")):
        made = _made(columns, "masks")
        text = latex_float(made.title, made.caption, made.table, made.groups, made.notes)
        assert rf"\begin{{{name}}}[!htb]" in text
        assert rf"\end{{{name}}}" in text
        assert r"\begin{tabular}{@{}c" in text, "a column of marks is as wide as they are"


def test_markdown_has_one_line_of_headings() -> None:
    table = markdown_table(_made(["stop", "AP"], "masks").in_one_line)
    assert [text.strip() for text in table.splitlines()[0].split("|")[1:-1]] == [
        "stop",
        "AP ↑, all masks",
        "AP ↑, five masks",
    ]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: _made(["lost"]), "found 'lost'"),
        (lambda: _made(["AP"], "loss"), "found 'loss'"),
        (lambda: _made(["masks", "AP"], "masks"), "found masks among --columns"),
        (lambda: _made(["variant", "AP"], "masks"), "found variant among --columns"),
    ],
)
def test_what_cannot_stand_there_is_a_sentence(ask: Callable[[], PaperTable], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ask()
