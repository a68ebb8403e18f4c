"""The place of a command's file: it is taken at once, through links, and never a pipe's or another file's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from assay.cli.output import create_file, replace_file
from assay.storage import Store
from tests.cli.small_study import Assay
from tests.helpers.mounting import in_own_mounts
from trainables.errors import InputError


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "old.md").write_text("old")
    (tmp_path / "link.md").symlink_to("old.md")
    replace_file(tmp_path / "link.md", b"new")
    assert (tmp_path / "link.md").is_symlink()
    assert (tmp_path / "old.md").read_text() == "new"


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit((tmp_path / "pipe").read_bytes)
        replace_file(tmp_path / "pipe", b"new")
        assert read.result() == b"new"
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(
    "folder", ["mount -o remount,ro place", "true"], ids=["in a folder that is read-only", "mounted alone"]
)
def test_a_file_that_may_be_written_is_written_in_place(tmp_path: Path, folder: str) -> None:
    (tmp_path / "own.json").write_text("old")
    (tmp_path / "place").mkdir()
    mounts = "mount -t tmpfs tmpfs place && touch place/x && mount --bind own.json place/x"
    write = f"{sys.executable} -m assay schema --output place/x"
    command = in_own_mounts(["bash", "-c", f"cd {tmp_path} && {mounts} && {folder} && {write}"])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "own.json").read_text())["title"]


def test_a_new_file_takes_the_place_of_none(tmp_path: Path) -> None:
    create_file(tmp_path / "deep" / "a.yaml", b"first")
    with pytest.raises(InputError, match=r"a\.yaml cannot be written: File exists"):
        create_file(tmp_path / "deep" / "a.yaml", b"second")
    assert (tmp_path / "deep" / "a.yaml").read_bytes() == b"first"


@pytest.mark.parametrize(
    "command",
    [
        "schema --output",
        "settings --output",
        "report small --format md --output",
        "judge {scores} --format md --output",
        "data check synthetic --sheet",
    ],
)
def test_a_folder_that_is_missing_is_made_with_the_file(
    assay: Assay, store: Store, tmp_path: Path, command: str
) -> None:
    scores, file = tmp_path / "scores.csv", tmp_path / "new" / "folder" / "x.png"
    scores.write_text("cell,seed,score\na,0,1\na,1,2\nb,0,3\nb,1,4\n")
    storage = ("--storage", store.uri) if " small " in command else ()
    done = assay(*command.format(scores=scores).split(), file, *storage)
    assert done.code == 0, done.err
    assert file.read_bytes()


def test_a_sheet_of_another_ending_is_refused(assay: Assay, tmp_path: Path) -> None:
    refused = assay("data", "check", "synthetic", "--sheet", tmp_path / "x.jpg")
    assert refused.code == 2
    assert f"--sheet writes a PNG, found {tmp_path / 'x.jpg'}. Name a file that ends with" in refused.err
    assert not (tmp_path / "x.jpg").exists()


@pytest.mark.parametrize(
    "command",
    [
        "judge FILE --output LINK",
        "report FILE --output FILE",
        "report other FILE --output FILE",
        "best FILE --as mine --output FILE",
    ],
)
def test_what_a_command_reads_is_not_written_over(assay: Assay, tmp_path: Path, command: str) -> None:
    file = tmp_path / "read.yaml"
    file.write_text("study: mine\n")
    (tmp_path / "link.yaml").symlink_to(file)
    places = {"FILE": file, "LINK": tmp_path / "link.yaml"}
    ended = assay(*(places.get(word, word) for word in command.split()))
    assert ended.code == 2
    assert "what is read is not written over" in ended.err
    assert file.read_text() == "study: mine\n"


@pytest.mark.parametrize(
    "command",
    [
        "predict --trial 3f9c --output URI",
        "export --trial 3f9c --to onnx --output URI",
        "report quickstart --output URI",
        "report quickstart --overlays URI.png",
        "judge FILE --output URI",
        "best FILE --as mine --output URI",
        "schema --output URI",
        "settings --output URI",
        "init --method mine --output URI",
        "data check FILE --sheet URI",
        "studies copy quickstart URI",
    ],
)
def test_a_uri_is_no_place_for_a_file(
    assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = assay(*command.replace("URI", "s3://u:c4nary@b/x").replace("FILE", "read.yaml").split())
    assert ended.code == 2
    assert "it is a path on this machine, found the URI s3://***@b/x" in ended.err
    assert "c4nary" not in ended.err
    assert not list(tmp_path.iterdir())
