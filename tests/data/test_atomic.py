from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trainables.data.files.atomic import exclusive, new_file, new_folder, why_unusable


def test_failed_writer_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(IsADirectoryError), new_file(target) as partial:
        tmp_path.write_text(partial.name)  # fails, as a full disk would
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_failed_maker_of_a_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), new_folder(tmp_path / "made") as partial:
        partial.write_text("")  # fails, as a full disk would
    assert list(tmp_path.iterdir()) == []


def test_second_maker_keeps_the_first_ones_folder(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with new_folder(tmp_path / "made") as partial:
            (partial / "who").write_text(text)
    assert (tmp_path / "made" / "who").read_text() == "first"
    assert list(tmp_path.iterdir()) == [tmp_path / "made"]


def test_leftovers_of_a_killed_maker_are_swept_by_the_next(tmp_path: Path) -> None:
    target = tmp_path / "made"
    for left in (".made.x1y2", ".other.x1y2"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "half").touch()
    (tmp_path / ".made.z3").touch()
    with exclusive(target):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {".other.x1y2", "made.lock"}


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.ENOSPC, r"is full \(\d+ MB free\)"),
        (errno.EDQUOT, r"is full for user \d+ \(Disk quota exceeded\)"),  # what is free is not theirs
    ],
)
def test_a_folder_without_room_is_named_with_whose_room_it_is(tmp_path: Path, number: int, why: str) -> None:
    said = why_unusable(OSError(number, os.strerror(number)), tmp_path)
    assert said is not None
    assert re.fullmatch(why, said)


@pytest.mark.parametrize("named", [7, b"", b"folder"])
def test_a_file_is_named_however_python_names_it(tmp_path: Path, named: int | bytes) -> None:
    error = PermissionError(errno.EPERM, "not permitted", named)
    said = why_unusable(error, tmp_path)
    assert said is not None
    assert said.endswith(
        f" by user {os.getuid()} (not permitted: {'folder' if named == b'folder' else tmp_path})"
    )


def test_a_folder_that_cannot_be_entered_may_not_be_read(tmp_path: Path) -> None:
    folders: list[str] = []
    expected: list[str] = []
    for rights, right in ((0o555, "written"), (0o444, "read"), (0o333, "read")):
        folder = tmp_path / f"{rights:o}"
        folder.mkdir(rights)
        folders.append(str(folder))
        expected.append(f"may not be {right} by user {os.getuid()} (denied: {folder}/file)")
    program = (
        "import sys; from pathlib import Path; from trainables.data.files.atomic import why_unusable\n"
        "for path in map(Path, sys.argv[1:]):\n"
        "    print(why_unusable(PermissionError(13, 'denied', str(path / 'file')), path))"
    )
    # root may do everything, unless it gives that up
    user = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
    command = [*user, sys.executable, "-c", program, *folders]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    assert answer.stdout.splitlines() == expected
