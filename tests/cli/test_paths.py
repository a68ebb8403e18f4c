"""Paths as they are typed: one rule for all commands and options."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from assay.cli import data, studies
from assay.cli.app import app
from assay.cli.options import as_path
from assay.storage import Store
from tests.cli.small_study import STUDY, Assay


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("plan ''", "'STUDY'"),
        ("plan quickstart --cache ''", "'--cache'"),
        ("status --storage ''", "'--storage'"),
        ("predict ''", "'PATHS…'"),
    ],
)
def test_an_empty_path_is_refused_with_the_name_of_its_option(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = assay(*shlex.split(command))
    assert refused.code == 2
    assert f"Invalid value for {named}" in refused.err
    assert "a path is not empty, found ''. Name a file, or a folder (. is this one)." in refused.err
    assert not list(tmp_path.iterdir())


def test_every_path_is_read_by_the_same_parser() -> None:
    parsers: list[object] = []
    groups = (app, data.group, studies.group)
    for command in (each.callback for group in groups for each in group.registered_commands):
        assert command is not None
        for hint in get_type_hints(command, include_extras=True).values():
            kind, *parameters = get_args(hint) or (hint,)
            parsers += [parameter.parser for parameter in parameters if Path in (kind, *get_args(kind))]
    assert len(parsers) > 20
    assert set(parsers) == {as_path}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a study and a table of scores, and a current folder beside it."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    (home / "small.yaml").write_text(STUDY)
    (home / "scores.csv").write_text("cell,seed,score\na,0,1\na,1,2\nb,0,3\nb,1,4\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    return home


@pytest.mark.parametrize(
    "command",
    [
        "plan ~/small.yaml --no-data",
        "status ~/small.yaml --once",
        "judge ~/scores.csv",
        "judge ~/scores.csv --format md --output ~/new",
        "schema --output ~/new",
        "settings --output ~/new",
        "studies copy quickstart ~/new",
        "report small --format md --output ~/new",
        "init --method mine --output ~/new",
    ],
)
def test_a_tilde_is_the_home_folder_wherever_a_path_is_named(
    assay: Assay, store: Store, home: Path, command: str
) -> None:
    storage = ("--storage", store.uri) if "small" in command and "--storage" not in command else ()
    done = assay(*command.split(), *storage)
    assert done.code == 0, done.err
    assert (home / "new").exists() == ("~/new" in command)
    assert not [path for path in Path().rglob("*") if path.name != "assay-storage"]


def test_a_tilde_before_nobodys_name_is_a_name(assay: Assay, home: Path) -> None:
    assert assay("schema", "--output", "~nobody-here").code == 0
    assert Path("~nobody-here").exists()


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("plan https://user:pass@example.org/x.yaml", "'STUDY': it is a path on this machine, found the URI"),
        (
            "plan quickstart --data https://user:pass@example.org/x.yaml",
            "'--data' (env var: 'ASSAY_DATA'): it",
        ),
    ],
)
def test_an_address_is_no_file_of_this_machine_and_is_shown_as_it_was_typed(
    assay: Assay, command: str, named: str
) -> None:
    refused = assay(*command.split())
    assert refused.code == 2
    assert named in refused.err
    assert "https://***@example.org/x.yaml. Mount what it names" in refused.err
