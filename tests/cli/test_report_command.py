"""`assay report`: what it prints and writes, in each format, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import pytest

from assay.storage import Record, Store
from assay.storage.plans import write_plan
from assay.study import Plan, parse_study, plan_study
from tests.analysis.made_lineage import keep_lineage
from tests.cli.small_study import STUDY, Assay, finished


def test_a_report_of_masks_writes_its_curve_beside_the_page(assay: Assay, tmp_path: Path) -> None:
    levels = "{weak: {supervision: weak}, n1: {supervision: {mixed: 1}}, all: {supervision: full}}"
    text = STUDY.replace("{off: {config: {balance: none}}, on: {config: {balance: linear}}}", levels)
    plan = plan_study(parse_study(text), None, "cpu")
    store = Store(tmp_path / "of_masks")
    store.write_bytes("studies/small/study.yaml", text.encode())
    write_plan(store, plan)
    for trial in plan.trials:
        finished(trial, store)
    page = tmp_path / "a page.md"
    answer = assay("report", "small", "--storage", store.uri, "--output", page)
    assert answer.code == 0
    assert "](a%20page_files/masks_curve.svg)" in page.read_text(encoding="utf-8")
    written = sorted((tmp_path / "a page_files").iterdir())
    names = ("comparisons.png", "comparisons.svg", "masks_curve.png", "masks_curve.svg")
    assert tuple(path.name for path in written) == names
    assert all(str(path) in answer.err for path in written)


def test_report_reads_the_records_as_they_are(assay: Assay, store: Store, tmp_path: Path) -> None:
    page = tmp_path / "report.md"
    assert assay("report", "small", "--storage", store.uri, "--output", page).code == 0
    answer = assay("report", "small", "--storage", store.uri)
    pictures = re.compile(r"!\[.*\n\n\*.*\*\n\n")  # only files have a place for them
    assert answer.out == pictures.sub("", page.read_text(encoding="utf-8"))
    assert "0.8" in answer.out
    assert "| balance |" in answer.out


def test_a_table_for_a_paper_is_one_table(assay: Assay, store: Store, tmp_path: Path) -> None:
    table = tmp_path / "cells.tex"
    asked = ("report", "small", "--storage", store.uri, "--columns", "image_ap,n", "--across", "balance")
    assert assay(*asked, "--output", table).code == 0
    assert table.read_text(encoding="utf-8").startswith("% begin table: paper")
    assert assay(*asked).out.startswith("| AP ↑, ")
    assert "found csv" in assay(*asked, "--format", "csv").err
    assert "found beside small" in assay("report", "small", *asked[1:]).err


@pytest.mark.parametrize(
    ("asked", "start"),
    [
        (("x.md",), "# small"),
        (("x.tex",), "% Written by `assay report`"),
        (("x.html",), "<!doctype html>"),
        (("x.CSV",), "study,cell,variant,factor:balance,metric"),
        (("x.txt", "--format", "csv"), "study,cell,variant,factor:balance,metric"),
        (("x",), "# small"),
        (("x.html", "--interactive"), "<!doctype html>"),
    ],
)
def test_a_report_is_written_as_its_file_ends_or_as_asked(
    assay: Assay, store: Store, tmp_path: Path, asked: tuple[str, ...], start: str
) -> None:
    name, *options = asked
    answer = assay("report", "small", "--storage", store.uri, "--output", tmp_path / name, *options)
    assert answer.code == 0, answer.err
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("x.md", "--format", "html"), "--format html writes .html, found an --output that ends with .md"),
        (("x.pdf",), "found an --output that ends with .pdf. Rename it, or add --format"),
        (("x.md", "--interactive"), "--interactive writes one study as HTML, found md. Name one study and"),
        (("a x.tex",), "LaTeX finds pictures by letters, digits and . + - _ only, found a x.tex"),
    ],
)
def test_a_form_that_cannot_be_is_refused(
    assay: Assay, store: Store, tmp_path: Path, asked: tuple[str, ...], said: str
) -> None:
    name, *options = asked
    answer = assay("report", "small", "--storage", store.uri, "--output", tmp_path / name, *options)
    assert answer.code == 2
    assert said in answer.err
    assert not list(tmp_path.glob("*x*"))


def test_overlays_of_a_model_that_shows_its_stages_have_a_sheet_of_each_cell(
    assay: Assay, store: Store, plan: Plan, tmp_path: Path
) -> None:
    for trial in plan.trials[:2]:
        store.write_record(keep_lineage(store, trial, "ab"))
    file = tmp_path / "sheet.png"
    answer = assay("report", "small", "--storage", store.uri, "--overlays", file)
    assert answer.code == 0, answer.err
    written = [file, tmp_path / "sheet_files" / "00-all_off.png"]
    for path in written:
        assert f"wrote {path}" in answer.err
        assert cv2.imread(str(path)) is not None


def test_csv_has_a_second_file_of_comparisons(assay: Assay, store: Store, tmp_path: Path) -> None:
    page = tmp_path / "x.csv"
    answer = assay("report", "small", "--storage", store.uri, "--output", page)
    assert answer.err == f"wrote {page}\nwrote {tmp_path / 'x_comparisons.csv'}\n"
    assert (
        (tmp_path / "x_comparisons.csv")
        .read_text()
        .startswith("study,metric,family,m,change,comparison,within")
    )
    assert assay("report", "small", "--storage", store.uri, "--format", "csv").out == page.read_text()


@pytest.mark.parametrize("option", ["--output", "--overlays"])
@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("file/report.png", "Not a directory"),
        ("file/deep/report.png", "Not a directory"),
        ("folder.png", "Is a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_study_is_read(
    assay: Assay, tmp_path: Path, option: str, place: str, why: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.png").mkdir()
    refused = assay("report", "not_even_a_study", option, tmp_path / place)
    assert refused.code == 2
    assert f"{tmp_path / place} cannot be written: {why}." in refused.err


def test_overlays_of_another_ending_are_refused_before_anything_is_written(
    assay: Assay, store: Store, tmp_path: Path
) -> None:
    page = tmp_path / "x.md"
    refused = assay(
        "report", "small", "--storage", store.uri, "--output", page, "--overlays", tmp_path / "x.jpg"
    )
    assert refused.code == 2
    assert f"--overlays writes a PNG, found {tmp_path / 'x.jpg'}. Name a file that ends" in refused.err
    assert not page.exists()


def test_logs_write_out_the_control_characters_of_settings(assay: Assay, store: Store, plan: Plan) -> None:
    record = store.record(plan.trials[0].id)
    assert isinstance(record, Record)
    trial = {**record.trial, "diff": {"config.note": ["plain", "\x1b[31m"]}}
    store.write_record(record.model_copy(update={"trial": trial}))
    out = assay("logs", record.id, "--storage", store.uri).out
    assert r"config.note plain → \x1b[31m" in out
    assert "\x1b" not in out
