"""A storage that version 0.1 wrote opens in every command and on every page, with the numbers it had.

``storage.tar.xz`` holds four studies that were trained on a few synthetic images for an epoch: ``small`` (two
factors that are on or off), ``labels`` (none or all masks), ``hunt`` (a search in two cells) and ``chain``
(stages). The CSV files beside it are their reports as version 0.1 printed them.
"""

from __future__ import annotations

import csv
import tarfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from assay.storage import Store
from assay.storage.plans import stored_plan
from tests.cli.conftest import assay
from tests.cli.small_study import Assay
from tests.dashboard.conftest import PAGES, own_main
from trainables.catalogue import TRAINABLES
from trainables.data.manifest import Manifest

__all__ = ["assay", "own_main"]

HERE = Path(__file__).parent
STUDIES = ("small", "labels", "hunt", "chain")
ADDED_SINCE = {"median", "at_chance"}  # columns
VIEWS = sorted(path.stem for path in (PAGES / "views").glob("*.py"))


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    with tarfile.open(HERE / "storage.tar.xz") as archive:
        archive.extractall(tmp_path / "storage")  # our own: Python has filters from 3.11.4 on
    return tmp_path / "storage"


def _numbers(text: str) -> list[list[str]]:
    """The cells of a report's CSV that are numbers; names of cells and of columns are wording."""
    header, *rows = csv.reader(text.splitlines())
    older = [index for index, name in enumerate(header) if name not in ADDED_SINCE]
    return [[row[index] for index in older if _is_number(row[index])] for row in rows]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("study", STUDIES)
def test_its_report_has_the_numbers_it_had(assay: Assay, storage: Path, study: str) -> None:
    output = assay("report", study, "--format", "csv", "--storage", storage)
    assert output.code == 0, output.err
    assert _numbers(output.out) == _numbers((HERE / f"{study}.csv").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("study", "format"), list(product(STUDIES, ("md", "latex", "html"))))
def test_it_is_written_in_every_format(
    assay: Assay, storage: Path, tmp_path: Path, study: str, format: str
) -> None:
    file = tmp_path / "report"
    output = assay("report", study, "--format", format, "--output", file, "--storage", storage)
    assert output.code == 0, output.err
    assert study in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ("labels", "labels"),
        ("clean",),
        *(("status", study) for study in STUDIES),
    ],
    ids=" ".join,
)
def test_a_command_reads_it(assay: Assay, storage: Path, arguments: tuple[str, ...]) -> None:
    output = assay(*arguments, "--storage", storage)
    assert output.code == 0, output.err


def test_the_log_of_each_trial_is_found(assay: Assay, storage: Path) -> None:
    for trial in stored_plan(Store(storage), "small").trials:
        assert "epoch" in assay("logs", trial.id, "--storage", storage).out


@pytest.mark.usefixtures("own_main")
@pytest.mark.parametrize(("study", "view"), list(product(STUDIES, VIEWS)))
def test_a_page_shows_it(storage: Path, monkeypatch: pytest.MonkeyPatch, study: str, view: str) -> None:
    monkeypatch.setattr("sys.argv", ["app.py", "--storage", str(storage)])
    app = AppTest.from_file(str(PAGES / "app.py"), default_timeout=60).run()
    app.session_state["study"] = study
    app.switch_page(f"views/{view}.py").run()
    assert not app.exception


@pytest.mark.parametrize("study", STUDIES)
def test_the_same_study_file_plans_the_same_trials_but_for_a_new_revision_of_its_method(
    assay: Assay, storage: Path, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = stored_plan(Store(storage), study).trials
    # A few pixels of synthetic images changed since: the plan is to be of those images.
    (images,) = {trial.manifest for trial in trials}
    monkeypatch.setattr(Manifest, "hash", images)
    for trial in trials:
        method = f"trainables.{trial.trainable}.TRAINABLE"
        earlier = replace(TRAINABLES[trial.trainable], revision=trial.revision)
        monkeypatch.setattr(method, earlier)
    file = storage / "studies" / study / "study.yaml"
    output = assay("plan", file, "--storage", storage)
    assert output.code == 0, output.err
    assert "0 to train" in output.out


def test_the_winner_of_its_search_becomes_a_study(assay: Assay, storage: Path) -> None:
    cell = stored_plan(Store(storage), "hunt").searched[0].cell.name
    output = assay("best", "hunt", "--as", "best", "--cell", cell, "--storage", storage)
    assert output.code == 0, output.err
    assert "study: best" in output.out


def test_a_model_of_it_is_exported(assay: Assay, storage: Path, tmp_path: Path) -> None:
    trials = stored_plan(Store(storage), "small").trials
    trial = next(trial for trial in trials if list((storage / "trials" / trial.id).glob("*/model")))
    arguments = ("--trial", trial.id, "--to", "onnx", "--output", tmp_path / "model")
    output = assay("export", *arguments, "--storage", storage)
    assert output.code == 0, output.err
