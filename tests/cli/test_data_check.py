"""`assay data check`: what it says to who has no study yet."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.small_study import Assay
from trainables.data import DataSpec, open_manifest
from trainables.data.files.sources import read_bytes
from trainables.errors import StorageError


@pytest.mark.parametrize(
    ("options", "way_out"),
    [
        ((), "Here data.path is --path PATH and data.options is --option NAME=VALUE."),
        (("--path", "x"), "Here data.options is --option NAME=VALUE."),
    ],
    ids=["nothing named", "path named"],
)
def test_a_check_names_the_options_that_stand_for_keys_of_a_study(
    assay: Assay, tmp_path: Path, options: tuple[str, ...], way_out: str
) -> None:
    (tmp_path / "x" / "others").mkdir(parents=True)
    refused = assay("data", "check", "folder", "--data", tmp_path, *options)
    assert refused.code == 2
    assert way_out in refused.err


@pytest.fixture
def surfaces(tmp_path: Path) -> Path:
    """A data root with the set `set`: a normal image, a defective one and its mask."""
    root = tmp_path / "surfaces"
    for name in ("good/0.png", "defect/1.png", "masks/1.png"):
        path = root / "set" / name
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.eye(32, dtype=np.uint8) * 255)
    return root


def _as_a_user(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The program for somebody whom rights of files bind, as they do not bind root."""
    user = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
    command = [*user, sys.executable, "-m", "assay", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("barred", "rights", "may_not"),
    [
        ("", 0o000, "surfaces may not be entered"),
        ("set", 0o000, "surfaces/set may not be read"),
        ("set/good", 0o000, "surfaces/set/good may not be read"),
        ("set/good", 0o300, "surfaces/set/good may not be read"),
        ("set/good", 0o400, "surfaces/set/good may not be entered"),
        ("set/masks", 0o000, "surfaces/set/masks may not be read"),
        ("set/defect/1.png", 0o000, "surfaces/set/defect/1.png may not be read"),
        ("set/masks/1.png", 0o000, "surfaces/set/masks/1.png may not be read"),
    ],
)
def test_data_that_a_user_may_not_read_are_named_with_the_right_that_is_missing(
    surfaces: Path, tmp_path: Path, barred: str, rights: int, may_not: str
) -> None:
    (surfaces / barred).chmod(rights)
    options = ("check", "folder", "--path", "set", "--data", surfaces, "--cache", tmp_path / "cache")
    refused = _as_a_user("data", *options)
    (surfaces / barred).chmod(0o755)
    printed = " ".join((refused.stdout + refused.stderr).split())
    assert refused.returncode != 0, printed
    assert f"{may_not} by user {os.getuid()} (Permission denied). Give that user the right" in printed


@pytest.mark.parametrize(
    ("kind", "instead"),
    [
        ("nothing", "found nothing at {root} (No such file or directory)"),
        ("a file", "found the file {root}"),
        ("a link to nothing", "found {root}, a link to gone (No such file or directory)"),
        ("a link to itself", "found {root}, a link to root (Too many levels of symbolic links)"),
    ],
)
def test_what_lies_in_place_of_the_data_root_is_named(
    assay: Assay, tmp_path: Path, kind: str, instead: str
) -> None:
    root = tmp_path / "root"
    if kind == "a file":
        root.touch()
    elif kind != "nothing":
        root.symlink_to("gone" if kind == "a link to nothing" else "root")
    refused = assay("data", "check", "folder", "--data", root)
    assert refused.code == 2
    assert instead.format(root=root) in " ".join(refused.err.split())


def test_data_that_vanish_while_they_are_used_are_called_gone(surfaces: Path, tmp_path: Path) -> None:
    spec = DataSpec.model_validate({"reader": "folder", "path": "set", "splits": "per_seed"})
    manifest = open_manifest(spec, surfaces, tmp_path / "cache")
    shutil.rmtree(surfaces)
    with pytest.raises(StorageError, match=r"surfaces/set is gone. Bring it back, or mount it again\."):
        read_bytes(manifest.root, manifest.rows[0].image)


def test_a_disk_that_does_not_answer_is_no_damaged_file(
    surfaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_bytes

    def away(path: Path) -> bytes:
        if path.suffix == ".png":
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return read(path)

    spec = DataSpec.model_validate({"reader": "folder", "path": "set", "splits": "per_seed"})
    monkeypatch.setattr(Path, "read_bytes", away)
    with pytest.raises(StorageError, match=r"its disk does not answer \(Stale"):
        open_manifest(spec, surfaces, tmp_path / "cache")
    monkeypatch.setattr(Path, "read_bytes", read)
    assert len(open_manifest(spec, surfaces, tmp_path / "cache").rows) == 2, "nothing of it was kept"
