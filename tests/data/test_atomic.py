from __future__ import annotations

from pathlib import Path

import pytest

from trainables.data.atomic import exclusive, new_file, new_folder


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
