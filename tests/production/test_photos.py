"""Photos that paths lead to: what is taken, what is passed over, and what is told of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.production.photos import find_photos, in_mask_folders, refuse_output_below, unread_photos
from trainables.errors import InputError

PRINT_PHOTOS = """
import json, sys
from assay.production.photos import find_photos, unread_photos
from trainables.errors import InputError
for path in sys.argv[1:]:
    try:
        found = [photo.name for photo in find_photos([path])]
    except InputError as error:
        found = str(error)
    print(json.dumps([found, *map(str, unread_photos([path]))]))
"""


def as_user(*program: str) -> tuple[str, ...]:
    """A program without the right to read everything, which root has."""
    rights = ("--bounding-set=-all", "--inh-caps=-all")
    return ("setpriv", *rights, *program) if os.getuid() == 0 else program


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody may list, beside a photo."""
    folder = tmp_path / "in" / "closed"
    touch(tmp_path / "in" / "a.png", folder / "b.png")
    folder.chmod(0)
    yield folder
    folder.chmod(0o755)


def test_a_folder_that_cannot_be_listed_is_told(closed: Path, tmp_path: Path) -> None:
    command = as_user(sys.executable, "-c", PRINT_PHOTOS, "in", "in/**/*.png", "in/c*")
    lines = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    found, unread = zip(*map(json.loads, lines.splitlines()), strict=True)
    told = "1 file is not read: in/closed: the folder cannot be listed (Permission denied)."
    assert unread == (told, told, told)
    assert found[:2] == (["in/a.png"], ["in/a.png"])
    assert found[2].endswith(told)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("in", ["in/a.png"]),
        ("in/*", ["in/a.png"]),
        ("in/**/*.png", ["in/a.png"]),
        ("in/._a.png", ["in/._a.png"]),
        ("in/.*.png", ["in/._a.png"]),
        ("in/.thumbs", ["in/.thumbs/b.png"]),
    ],
)
def test_hidden_files_and_folders_are_photos_only_where_they_are_named(
    path: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(*(tmp_path / "in" / name for name in ("a.png", "._a.png", ".thumbs/b.png")))
    monkeypatch.chdir(tmp_path)
    assert [photo.name for photo in find_photos([path])] == found


@pytest.mark.parametrize("path", ["in", "i*", "in/**/*.png", "."])
def test_an_output_among_the_photos_is_refused(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "in" / "a.png")
    monkeypatch.chdir(tmp_path)
    refuse_output_below([path], tmp_path.parent / "found")
    with pytest.raises(InputError, match="found in/found in "):
        refuse_output_below([path], Path("in/found"))


@pytest.mark.parametrize("path", ["in/a.png", "in/*.png"])
def test_an_output_beside_photos_that_are_named_one_by_one_is_taken(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "in" / "a.png")
    monkeypatch.chdir(tmp_path)
    refuse_output_below([path], Path("in/found"))
    with pytest.raises(InputError, match="lies outside the folders of photos"):  # unlike in their folder
        refuse_output_below(["in"], Path("in/found"))


@pytest.mark.parametrize("path", ["in", "in/*.png"])
def test_a_pipe_and_a_link_to_nothing_are_told_as_what_they_are(path: str, tmp_path: Path) -> None:
    touch(tmp_path / "in" / "a.png")
    os.mkfifo(tmp_path / "in" / "pipe.png")
    (tmp_path / "in" / "link.png").symlink_to("nowhere.png")
    unread = unread_photos([str(tmp_path / path)])
    assert sum(files.count for files in unread) == 2
    assert {files.why for files in unread} == {"it is no plain file"}


@pytest.mark.parametrize("path", ["in", "in/*.png"])
def test_a_link_to_itself_is_passed_over_and_told(path: str, tmp_path: Path) -> None:
    touch(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "loop.png").symlink_to("loop.png")
    assert [photo.path.name for photo in find_photos([str(tmp_path / path)])] == ["a.png"]
    assert [files.why for files in unread_photos([str(tmp_path / path)])] == ["it is no plain file"]


def test_the_tilde_of_nobodys_home_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "~nobody-here" / "a.png")
    assert [photo.path.name for photo in find_photos(["~nobody-here"])] == ["a.png"]
    assert unread_photos(["~nobody-here"]) == ()
    refuse_output_below(["~nobody-here"], tmp_path / "output")


@pytest.mark.parametrize(
    ("path", "names"), [("in", ["in/Masks/a.png", "in/masks.d/gt/c.png"]), ("in/Masks", []), ("in/good", [])]
)
def test_images_in_a_folder_of_masks_beside_photos_are_told_from_them(
    path: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(*(tmp_path / "in" / name for name in ("good/b.png", "Masks/a.png", "masks.d/gt/c.png")))
    monkeypatch.chdir(tmp_path)
    assert [photo.name for photo in in_mask_folders(find_photos([path]))] == names
