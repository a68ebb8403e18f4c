"""The table of parts: a part is good where every view of it was seen to be so."""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath

import pytest

from assay.production.photos import Photo
from assay.production.rows import PartRows, PhotoRow


def row(name: str, score: float | None) -> PhotoRow:
    """The row of a photo that is bad from 0.5 on, or could not be read."""
    if score is None:
        return PhotoRow(name, None, None, None, None, None, None, None, "the file is missing")
    return PhotoRow(name, score, score >= 0.5, 0, 20, 30, None, None, None)


@pytest.mark.parametrize(
    ("scores", "decision"),
    [
        ([0.1, 0.2], "false"),
        ([0.1, 0.9], "true"),
        ([0.1, None], ""),
        ([0.9, None], "true"),
        ([0.1], ""),  # an interruption came before the other view
        ([0.9], "true"),
    ],
)
def test_a_part_is_good_where_all_its_views_are_there_and_good(
    scores: list[float | None], decision: str, tmp_path: Path
) -> None:
    names = [f"p1_{view}.png" for view in "ab"]
    parts = PartRows("{part}_{view}", [Photo(Path(name), name, PurePosixPath(name)) for name in names])
    for name, score in zip(names, scores, strict=False):
        parts.add(row(name, score))
    parts.write(tmp_path / "parts.csv", "csv")
    with (tmp_path / "parts.csv").open(encoding="utf-8") as table:
        (part,) = csv.DictReader(table)
    assert (part["part"], part["decision"], part["views"]) == ("p1", decision, str(len(scores)))
