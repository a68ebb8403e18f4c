"""Forty histories of the protocol under attack; ``make torture`` draws ten thousand."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import pytest

from assay.storage import Record, Store
from assay.storage.files.checksum import lines_with_checksum
from assay.storage.files.conditional import ObjectSwaps, Version
from assay.storage.lease import StopKind
from assay.study import Plan, Point
from tests.simulation.histories import TOTALS, sleep_at_calls, undisturbed
from tests.simulation.program import STUDIES
from tests.simulation.torture import AWAKE_AFTER, draw


@pytest.mark.parametrize("name", STUDIES)
def test_an_undisturbed_run_in_the_made_world_records_every_trial_of_its_plan(name: str) -> None:
    assert len(undisturbed(name)) == {"stages": 4, "search": 5, "budget": 9}[name]


def test_whatever_happens_each_trial_ends_with_the_record_of_an_undisturbed_run() -> None:
    draw(0, 40)
    assert TOTALS["histories"] >= 40
    assert TOTALS["takeovers"] > 4
    assert TOTALS["records"] > 120


@pytest.mark.parametrize("awake_after", AWAKE_AFTER, ids=["beside another run", "after another run"])
@pytest.mark.parametrize("workers", [False, True], ids=["run", "workers"])
@pytest.mark.parametrize("name", STUDIES)
def test_at_whatever_call_a_run_sleeps_past_its_lease_it_takes_nothing_from_another(
    name: str, workers: bool, awake_after: int
) -> None:
    assert sleep_at_calls(name, workers=workers, awake_after=awake_after, every=17) > 2


_swap = ObjectSwaps.write


def _replace(store: Store, record: Record) -> None:
    """Write a record over the one that is there."""
    store.write_record(record)


def _lose(store: Store, plan: Plan, points: Sequence[Point]) -> None:
    """Write points over others."""
    lines = "".join(f"{point.model_dump_json()}\n" for point in points).encode()
    store.write_bytes(f"studies/{plan.study.study}/search.jsonl", lines_with_checksum(lines))


def _swap_anyway(swaps: ObjectSwaps, path: str, data: bytes, over: Version | None) -> Version:
    """Write over what lies there now, not over what was read before."""
    late = path.endswith("lease.json") and over is not None
    return _swap(swaps, path, data, swaps.read(path) if late else over)


def _leave(store: Store, kind: StopKind, name: str) -> None:
    """Leave old requests to stop where they are."""


@pytest.mark.parametrize(
    ("place", "name", "fault", "named"),
    [
        (ObjectSwaps, "write", _swap_anyway, "took the lease|has a lease back"),
        ("assay.engine.run", "clear_stop", _leave, "is missing"),
    ],
    ids=["no compare-and-swap", "old requests stay"],
)
def test_a_planted_fault_is_found_in_histories(
    place: Any, name: str, fault: Any, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module(place) if isinstance(place, str) else place, name, fault)
    with pytest.raises((AssertionError, ExceptionGroup), match=named):
        draw(3, 300, shrink=False)


@pytest.mark.parametrize(
    ("place", "fault", "named"),
    [
        ("assay.storage.Store.create_record", _replace, "replaced trials/.*, a result"),
        ("assay.engine.search.search_batches.write_points", _lose, "lost points of studies/search"),
    ],
    ids=["records are replaced", "points are replaced"],
)
def test_a_planted_fault_is_found_by_a_run_that_sleeps(
    place: str, fault: Any, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, fault)
    with pytest.raises(AssertionError, match=named):
        sleep_at_calls("search", workers=False, awake_after=4000, every=1)
