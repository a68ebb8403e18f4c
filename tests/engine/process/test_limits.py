"""How long a training may take, going by those that have finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.engine.durations import LimitsByNow
from assay.storage import Store
from assay.storage.record import StageUse
from assay.study.file.schema import Resources
from tests.analysis.made_studies import make_plan, make_record

HOUR = 3600.0
STAGE = StageUse(name="base", key="0", seconds=5 * HOUR, reused=True)


@pytest.mark.parametrize(
    ("records", "hours"),
    [
        ([{"timings": {"train": HOUR}}] * 2, None),
        ([{"timings": {"train": HOUR / 60}}] * 3, 1.0),
        ([{"timings": {"train": HOUR}}] * 3, 10.0),
        ([{"timings": {"train": HOUR, "finish": HOUR, "evaluate": HOUR / 2}}] * 3, 20.0),  # in one process
        ([{"timings": {"train": HOUR}, "stages": (STAGE,)}] * 3, 50.0),
        ([{"timings": {"train": 300.0}, "status": "diverged", "result": None}] * 3, None),
        ([{"timings": {"train": 300.0}, "status": "failed", "result": None}] * 3, None),
    ],
)
def test_auto_is_ten_times_the_longest_that_finished_and_an_hour_at_least(
    tmp_path: Path, records: list[dict[str, Any]], hours: float | None
) -> None:
    trial = make_plan().trials[0]
    before = [make_record(trial).model_copy(update=changes) for changes in records]
    assert LimitsByNow(Resources(), Store(tmp_path), before).limits_of_batch([]).hours == hours
