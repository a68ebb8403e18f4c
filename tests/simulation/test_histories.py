"""A hundred histories of the protocol under attack; ``make torture`` draws ten thousand."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from assay.storage import Store
from assay.storage.conditional import ObjectSwaps, Version
from assay.storage.fence import Fence
from assay.storage.stop import StopKind
from tests.simulation.histories import TOTALS, undisturbed
from tests.simulation.program import STUDIES
from tests.simulation.torture import draw


@pytest.mark.parametrize("name", STUDIES)
def test_an_undisturbed_run_in_the_made_world_records_every_trial_of_its_plan(name: str) -> None:
    assert len(undisturbed(name)) == {"stages": 4, "search": 5, "budget": 9}[name]


def test_whatever_happens_each_trial_ends_with_the_record_of_an_undisturbed_run() -> None:
    draw(0)
    assert TOTALS["histories"] >= 100
    assert TOTALS["takeovers"] > 10
    assert TOTALS["records"] > 300


_swap = ObjectSwaps.write


def _no_look(fence: Fence) -> None:
    """Forget to look whether the lease is in force."""


def _swap_anyway(swaps: ObjectSwaps, path: str, data: bytes, over: Version | None) -> Version:
    """Write over what lies there now, not over what was read before."""
    late = path.endswith("lease.json") and over is not None
    return _swap(swaps, path, data, swaps.read(path) if late else over)


def _leave(store: Store, kind: StopKind, name: str) -> None:
    """Leave old requests to stop where they are."""


@pytest.mark.parametrize(
    ("place", "name", "fault", "named"),
    [
        (Fence, "check", _no_look, "without a look at its lease"),
        (ObjectSwaps, "write", _swap_anyway, "the number of the lease|was given twice|took the lease"),
        ("assay.engine.run_study", "clear_stop", _leave, "is missing"),
    ],
    ids=["no look at the lease", "no compare-and-swap", "old requests stay"],
)
def test_a_planted_fault_is_found(
    place: Any, name: str, fault: Any, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module(place) if isinstance(place, str) else place, name, fault)
    with pytest.raises((AssertionError, ExceptionGroup), match=named):
        draw(0, 300, shrink=False)
