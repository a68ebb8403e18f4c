"""`assay settings`: from the list of methods to everything about one setting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.small_study import Assay


def test_without_arguments_methods_stand_with_their_presets_and_blocks_with_their_purpose(
    assay: Assay,
) -> None:
    shown = assay("settings").out
    assert re.search(r"cam +Class-activation maps of a classifier +weak +small, standard, pretrained", shown)
    assert re.search(r"and\s+\d+\s+more", shown)
    assert re.search(r"repeats +Repeats of each cell: every seed on every fold\.", shown)


def test_a_method_is_a_table_of_its_settings_below_its_source(assay: Assay) -> None:
    shown = assay("settings", "segdec").out
    assert "source        Božič, Tabernik, Skočaj 2021, arXiv:2104.06064" in shown
    assert re.search(r"config\.w_pos +1\.0 +0 to 100 +Weight of the defect's innermost pixel \(paper", shown)


def test_a_preset_stands_beside_the_defaults(assay: Assay) -> None:
    shown = assay("settings", "segdec", "--preset", "ksdd2").out
    assert re.search(r"config\.w_pos +1\.0 +3\.0 +0 to 100", shown)
    assert re.search(r"config\.sf_kernel +15 +5, 15", shown)  # the preset leaves it as it is


@pytest.mark.parametrize("name", ["delta", "config.delta"])
def test_one_setting_says_its_meaning_values_presets_and_source(assay: Assay, name: str) -> None:
    shown = assay("settings", "segdec", name).out
    assert shown.startswith("config.delta of segdec (SegDecNet with mixed supervision)\n")
    assert "meaning       δ of Eq. 1, weight of the classification loss." in shown
    assert "may be        0 to 100" in shown
    assert "default       1.0" in shown
    assert "0.01          in preset ksdd, ksdd_as_published" in shown
    assert "arXiv:2104.06064" in shown


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (("data",), r"data\.splits +published +published, deduplicated, per_seed"),
        (("data",), r"data\.options\.category .* Reader mvtec: Category"),
        (("resources",), r"resources\.gpus +0\.0 +0 to 1,024 +GPUs of each worker"),
        (("study",), r"supervision +full +none, weak, full or \{mixed: whole number, at least 0\}"),
        (("data", "share"), r"data\.validation\.share\n.*\n.*\n +default +0\.2\ndata\.test\.share\n"),
    ],
)
def test_blocks_of_the_study_file_are_shown_like_methods(
    assay: Assay, arguments: tuple[str, ...], pattern: str
) -> None:
    assert re.search(pattern, assay("settings", *arguments).out)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("segdc",), "no method and no block of the study file called segdc; did you mean `segdec`?"),
        (("dat",), "did you mean `data`?"),
        (("segdec", "dleta"), "method segdec has no setting dleta; did you mean `delta`?"),
        (("repeats", "seed"), "block repeats has no setting seed; did you mean `seeds`?"),
        (("segdec", "--preset", "kssd"), "segdec has no preset kssd; did you mean `ksdd`?"),
        (("--preset", "ksdd"), "settings and presets are of a method, found ksdd without one. Write"),
        (("segdec", "--output", "new.md"), "the page of all methods and blocks, found it with segdec."),
        (("data", "--preset", "ksdd"), "presets belong to methods, and data is a block of the study file"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest_right_one(
    assay: Assay, arguments: tuple[str, ...], says: str
) -> None:
    answer = assay("settings", *arguments)
    assert answer.code == 2
    assert says in answer.err


def test_a_method_of_a_file_is_shown_like_an_installed_one(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(
        "from dataclasses import replace\nfrom trainables.segdec import TRAINABLE as SEGDEC\n"
        "TRAINABLE = replace(SEGDEC, name='own', title='SegDecNet of my own')\n",
        encoding="utf-8",
    )
    shown = assay("settings", "./own.py:TRAINABLE", "delta").out
    assert "(SegDecNet of my own)" in shown
    assert "may be        0 to 100" in shown


@pytest.mark.parametrize("command", [("settings", "mine"), ("plan", "study.yaml", "--no-data")])
def test_an_installed_method_that_breaks_the_contract_is_refused(
    command: tuple[str, ...], assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[assay.trainables]\nmine = mine_that_is_broken:TRAINABLE\n")
    (tmp_path / "mine_that_is_broken.py").write_text(
        "from dataclasses import replace\nfrom assay_toy.method import TRAINABLE\n"
        "TRAINABLE = replace(TRAINABLE, name='mine', Config=int)\n"
    )
    (tmp_path / "study.yaml").write_text("study: own\ntrainable: mine\ndata: {reader: synthetic}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    answer = assay(*command)
    assert answer.code == 2
    assert "in a Trainable `Config` is a class that extends" in answer.err


def test_the_page_has_methods_presets_and_blocks(assay: Assay, tmp_path: Path) -> None:
    page = tmp_path / "settings.md"
    assert assay("settings", "--output", page).out == f"wrote {page}\n"
    text = page.read_text(encoding="utf-8")
    assert "## Method `segdec`" in text
    assert "| `config.delta` | 1.0 | 0 to 100 | δ of Eq. 1, weight of the classification loss. |" in text
    assert "## Block `resources`" in text
