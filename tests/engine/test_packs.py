"""How trials are dealt into packs: all of them once, no larger than asked, first repeats first."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.cluster import Cluster, _connect
from assay.engine.packs import make_packs, packs_as_asked
from assay.study.schema import Resources
from trainables.errors import InputError


def _trials(count: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(id=f"{i:016x}") for i in range(count)]


@given(
    count=st.integers(0, 200),
    size=st.one_of(st.just("auto"), st.integers(1, 12)),
    slots=st.integers(1, 16),
)
def test_every_trial_is_in_exactly_one_pack_and_none_is_too_large(
    count: int, size: int | str, slots: int
) -> None:
    packs = make_packs(_trials(count), size, slots)  # type: ignore[arg-type]
    assert sorted(trial.id for pack in packs for trial in pack) == [trial.id for trial in _trials(count)]
    assert all(1 <= len(pack) <= (10 if size == "auto" else int(size)) for pack in packs)


def test_a_small_study_has_as_many_packs_as_slots() -> None:
    assert [len(pack) for pack in make_packs(_trials(18), "auto", 2)] == [9, 9]  # type: ignore[arg-type]


def test_a_large_cluster_is_filled_with_packs_of_one() -> None:
    assert len(make_packs(_trials(18), "auto", 64)) == 18  # type: ignore[arg-type]


def test_the_first_trials_of_all_packs_are_the_first_of_the_plan() -> None:
    packs = make_packs(_trials(9), 3, 2)  # type: ignore[arg-type]
    assert [pack[0].id for pack in packs] == [trial.id for trial in _trials(3)]


@pytest.mark.parametrize(
    ("slots", "sizes"),
    [([2, 2, 2, 2], [4, 2, 1, 1]), ([1, 3, 3, 3], [8]), ([2, 4, 4, 4, 4], [4, 1, 1, 1, 1]), ([0] * 8, [8])],
)
def test_packs_that_are_asked_for_share_what_is_left_over_the_slots_there_are(
    slots: list[int], sizes: list[int]
) -> None:
    now = iter(slots)
    packs = list(packs_as_asked(_trials(8), "auto", lambda: next(now)))  # type: ignore[arg-type]
    assert [len(pack) for pack in packs] == sizes
    assert [trial for pack in packs for trial in pack] == _trials(8)


@pytest.mark.parametrize(
    ("nodes", "workers", "cpus", "slots"),
    [
        ([2], 1, 1, 2),
        ([2], 2, 1, 1),
        ([1], 1, 1, 1),
        ([4, 4, 3], 1, 2, 5),
        ([4, 4], 3, 2, 1),
    ],
)
def test_slots_are_what_fits_on_the_nodes(nodes: list[int], workers: int, cpus: int, slots: int) -> None:
    cluster = Cluster(tuple({"CPU": float(n)} for n in nodes), local=True)
    assert cluster.slots(Resources(workers=workers, cpus=cpus)) == slots


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nohost", "me:hunter2@nohost", "ray://127.0.0.1:1"])
def test_an_address_where_nobody_answers_is_refused_at_once_and_without_its_password(
    address: str,
) -> None:
    with pytest.raises(InputError, match="RAY_ADDRESS is the host:port") as refused:
        _connect(address)
    assert "hunter2" not in str(refused.value)


def test_a_trial_that_fits_nowhere_is_refused_with_what_there_is() -> None:
    cluster = Cluster(({"CPU": 2.0},), local=True)
    with pytest.raises(InputError, match=r"1 worker\(s\) with 4 CPU.*have 2 CPU"):
        cluster.refuse_if_too_small(Resources(workers=1, cpus=4))
