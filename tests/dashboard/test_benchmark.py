"""What `make bench-dashboard` says holds: limits of cold and warm readers, on data of the size it names."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import psutil
import pytest

from assay.storage import Store
from assay_dashboard.study_view import view
from benchmarks.dashboard.steps import Step
from benchmarks.dashboard.waiting import READERS, Site, Taken, large_study, most_memory, report
from benchmarks.shared import Seconds
from tests.dashboard.made_searches import make_large_search
from trainables.evaluation.heatmaps import DISPLAY_SIDE

STEP = Step("first page", 2.0, lambda page, url: 0.0)
SITE = Site("assay", contextlib.nullcontext, (STEP,), 1.0)  # type: ignore[arg-type]


def taken(cold: list[float], warm: list[float], memory: float = 0.4) -> Taken:
    seconds = {
        ("assay", "first page", reader): [Seconds(wall, 0.1) for wall in walls]
        for reader, walls in zip(READERS, (cold, warm), strict=True)
    }
    return Taken(seconds, {"assay": [0.1, memory]})


@pytest.mark.parametrize(
    ("cold", "warm", "memory", "broken"),
    [
        ([1.9, 2.0, 9.0], [0.5, 0.6, 0.7], 0.4, []),
        ([0.1, 5.0, 5.2], [0.5, 0.6, 0.7], 0.4, ["assay: first page took 5.00 s cold, at most 2 s may be."]),
        ([1.0, 1.0, 1.0], [0.5, 2.5, 2.6], 0.4, ["assay: first page took 2.50 s warm, at most 2 s may be."]),
        ([1.0], [1.0], 1.2, ["assay: the server held 1.20 GB, at most 1 may be."]),
    ],
)
def test_a_limit_is_held_by_the_median_of_both_readers(
    cold: list[float], warm: list[float], memory: float, broken: list[str]
) -> None:
    table, found = report([SITE], taken(cold, warm, memory))
    assert found == broken
    assert f"{np.median(cold):.2f} ({min(cold):.2f}–{max(cold):.2f})" in table


def test_memory_is_the_most_that_was_held_and_not_what_is_left() -> None:
    before = most_memory(psutil.Process())
    held = np.ones(60_000_000)
    del held
    assert most_memory(psutil.Process()) >= max(before, 0.48)
    assert psutil.Process(os.getpid()).memory_info().rss / 1e9 < most_memory(psutil.Process())


def test_the_trials_have_pictures_as_large_as_they_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    plan = large_study(store, small=True)
    records = view(store, plan.study.study).results.records
    assert len(records) == len(plan.trials) == 200
    maps = store.read_part(next(one for one in records.values() if one.files), "maps.parquet")
    assert maps is not None
    assert {max(row["width"], row["height"]) for row in maps.to_pylist()} == {DISPLAY_SIDE}


def test_a_made_search_is_one_that_the_page_can_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make_large_search(store, "search", 5)
    now = view(store, "search")
    (points,) = now.results.evaluated_points.values()
    assert [point.status for point in points] == ["finished"] * 5
    assert len({point.value for point in points}) == 5
