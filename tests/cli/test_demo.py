"""`assay demo`: the study that comes with assay is small, whole, and the one that the README shows."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from assay.analysis.results.reading import read_results
from assay.analysis.results.results import StudyResults
from assay.analysis.summary import metric_summary
from assay.demo.demo import DEMO, unpack_demo
from assay.report.page.terminal import terminal_page
from assay.report.pages import study_page
from assay.storage import Store
from benchmarks.demo import pack
from tests.cli.small_study import Assay

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    unpack_demo(folder)
    return folder


@pytest.fixture
def results(demo: Path) -> StudyResults:
    return read_results(Store(demo), "quickstart")


def test_the_archive_is_smaller_than_three_megabytes() -> None:
    assert DEMO.stat().st_size < 3_000_000


def test_every_file_of_it_is_as_its_record_says(demo: Path, assay: Assay) -> None:
    checked = assay("check", "--storage", demo)
    assert (checked.code, checked.out.strip()) == (0, "30 records, 0 stages, 1 study read: all sound")


def test_its_numbers_are_those_of_the_readme(results: StudyResults) -> None:
    """Each row of the README's table begins with AP, mean ± spread."""
    rows = [line for line in README.read_text("utf-8").splitlines() if line.startswith("| ") and "±" in line]
    told = [row.split("|")[4].replace("*", "").strip() for row in rows]
    assert told == [f"{cell.mean:.3f} ± {cell.spread:.3f}" for cell in metric_summary(results, "image_ap")]


def test_its_answer_on_a_terminal_is_the_one_that_the_quickstart_shows(results: StudyResults) -> None:
    page = (ROOT / "docs" / "quickstart.md").read_text("utf-8")
    quoted = page.partition("## The answer")[2].partition("```text\n")[2].partition("\n```")[0]
    terminal = Console(width=80, record=True, file=io.StringIO())
    shown = terminal_page(study_page(results, brief=True), rest="assay report quickstart --notes")
    terminal.print(shown)
    assert [line.rstrip() for line in terminal.export_text().strip().splitlines()] == quoted.splitlines()


def test_the_same_storage_gives_the_same_bytes(demo: Path, tmp_path: Path) -> None:
    pack(demo, tmp_path / "again.tar.xz")
    assert (tmp_path / "again.tar.xz").read_bytes() == DEMO.read_bytes()
