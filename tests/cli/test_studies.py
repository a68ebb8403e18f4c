"""`assay studies`, and commands that take the name of a study that comes with assay."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.small_study import Assay

SHIPPED = Path(__file__).parents[2] / "studies"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and the one that commands are called in."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_every_study_is_listed_and_those_that_need_no_data_come_first(assay: Assay) -> None:
    shown = assay("studies").out
    rows = [line.split()[0] for line in shown.splitlines() if line[:1].strip()]
    files = {path.stem: path for path in SHIPPED.rglob("*.yaml")}
    names = [name for name in rows if name in files]
    assert sorted(names) == sorted(files)
    made = re.compile(r"^data:\s*\{?\s*reader: synthetic", re.MULTILINE)
    needs_no_data = [name for name in names if made.search(files[name].read_text())]
    assert names[: len(needs_no_data)] == needs_no_data
    assert names[0] == "quickstart"


def test_a_listed_study_says_its_question_its_data_its_trials_and_its_needs(assay: Assay) -> None:
    shown = assay("studies", "--reader", "synthetic").out
    facts, question = shown.splitlines()[:2]
    assert facts == "quickstart  segdec · synthetic · 30 trials · needs nothing"
    assert question == "    What do five masks buy, and which of SegDecNet's additions can go?"


def test_a_study_on_images_of_a_package_names_it(assay: Assay) -> None:
    facts = assay("studies", "--reader", "elpv").out.splitlines()[0]
    assert facts == "solar_cells  supervised · elpv · 24 trials · needs elpv-dataset"


@pytest.mark.parametrize(
    ("options", "listed", "left_out"),
    [
        (("--reader", "mtd"), "mtd_smoke", "ksdd_smoke"),
        (("--method", "cam"), "cam_baselines_mtd", "mtd_smoke"),
        (("--method", "cam"), "supervision_ladder_mtd", "quickstart"),  # a level names the method
    ],
)
def test_the_list_keeps_to_a_data_set_or_a_method(
    assay: Assay, options: tuple[str, str], listed: str, left_out: str
) -> None:
    shown = assay("studies", *options).out
    assert listed in shown
    assert left_out not in shown


def test_a_copy_is_the_file_itself_and_is_never_written_over(assay: Assay, empty: Path) -> None:
    copied = assay("studies", "copy", "mtd_smoke", "own")
    assert copied.out == "wrote own/mtd_smoke.yaml\nnext: assay run own/mtd_smoke.yaml --data ROOT\n"
    file = empty / "own" / "mtd_smoke.yaml"
    assert file.read_bytes() == (SHIPPED / "mtd_smoke.yaml").read_bytes()
    file.write_text("changed")
    again = assay("studies", "copy", "mtd_smoke", "own")
    assert (again.code, file.read_text()) == (2, "changed")
    assert "own/mtd_smoke.yaml exists already and is not replaced" in again.err


def test_a_command_takes_a_shipped_study_by_name_and_says_so(assay: Assay, empty: Path) -> None:
    answer = assay("plan", "quickstart", "--no-data")
    assert answer.code == 0
    assert "5 variants × 6 seeds = 30 trials" in answer.out
    assert "taking the study quickstart that comes with assay\n" in answer.err


@pytest.mark.parametrize("name", ["quickstart.yaml", "quickstart.yml"])
def test_a_file_of_the_folder_wins_over_the_shipped_study_and_that_is_said(
    assay: Assay, empty: Path, study_file: Path, name: str
) -> None:
    (empty / name).write_bytes(study_file.read_bytes())
    answer = assay("plan", "quickstart", "--no-data")
    assert "2 variants × 2 seeds = 4 trials" in answer.out
    assert f"taking {name} of this folder, not the study quickstart that comes with assay\n" in answer.err
    assert "taking" not in assay("plan", name, "--no-data").err  # a path leaves nothing to guess


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plan", "quikstart"), "there is no file quikstart.yaml in this folder, and no study quikstart"),
        (("plan", "quikstart"), "The nearest: quickstart."),
        (("run", "studies/quickstart.yaml"), "write quickstart for studies/quickstart.yaml"),
        (("plan", "quickstart.yml"), "or `assay studies copy quickstart` first"),
        (("plan", "own.yaml"), "own.yaml: a study is a readable YAML file: No such file or directory"),
        (("studies", "copy", "mtd_smok"), "The nearest: mtd_smoke, "),
        (("studies", "--method", "segdc"), "did you mean `segdec`?"),
        (("studies", "--reader", "mdt"), "did you mean `mtd`?"),
        (("plan", "masks"), "comes with assay. The nearest: ksdd_few_masks, "),
        (("plan", "zzz"), "no study zzz comes with assay. `assay studies` lists those that do."),
        (("report", "quickstart"), "holds no study quickstart. It holds: none. `assay run` trains a study"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest_right_one(
    assay: Assay, empty: Path, arguments: tuple[str, ...], says: str
) -> None:
    answer = assay(*arguments)
    assert answer.code == 2
    assert says in answer.err
    assert answer.err.count("_ksdd") <= 3  # not every name
