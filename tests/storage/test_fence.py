"""What a run writes after its lease is over is refused, on a folder and on an object store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.engine.packs import Pack
from assay.storage import Environment, Lease, Record, Store, lease_note
from assay.storage.fence import DisplacedError
from assay.storage.lease import displace
from assay.storage.stop import clear_stop, request_stop, stop_requested
from tests.analysis.made_studies import make_plan, make_record
from tests.engine.made_packs import make_pack
from tests.s3_server import S3Server
from tests.storage.lease_race import late_record, race

PLAN = make_plan()
TRIAL = PLAN.trials[0]


@pytest.fixture(params=["folder", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of its own for each test."""
    if request.param == "folder":
        return str(tmp_path)
    request.getfixturevalue("credentials")
    running: S3Server = request.getfixturevalue("server")
    return running.uri(f"bucket/{tmp_path.name}")


def displaced(store: Store) -> Store:
    """The store of a run whose study another run holds by now."""
    lease = Lease(store, "s")
    lease.take()
    displace(store, "s")
    Lease(store, "s").take()
    return store.fenced(lease.fence)


WRITES: dict[str, Callable[[Store], object]] = {
    "record": lambda store: store.write_record(make_record(TRIAL)),
    "end of a trial": lambda store: store.end_trial(make_record(TRIAL)),
    "removal of a record": lambda store: store.forget_record(TRIAL.id),
    "attempt": lambda store: store.begin_attempt(TRIAL.id, Environment()),
    "pack": lambda store: make_pack("s").write(store),
    "points": lambda store: store.write_fenced("studies/s/search.jsonl", b"{}\n"),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_displaced_run_writes_nothing_that_counts(uri: str, what: str) -> None:
    store = Store(uri)
    late = displaced(store)
    with pytest.raises(DisplacedError, match=r"process \d+ on .* \(lease 3, this run's was 1\)"):
        WRITES[what](late)
    assert store.trials() == []
    assert store.list("studies/s") in (["lease.json"], [".lease.lock", "lease.json"])


@pytest.mark.parametrize(
    ("end", "named"),
    [
        (lambda store, lease: lease.give_back(), "this run has given it back"),
        (lambda store, lease: displace(store, "s"), "`assay stop --force` took it away"),
        (lambda store, lease: store.delete_tree("studies/s/lease.json"), "its lease file is gone"),
        (lambda store, lease: store.write_bytes("studies/s/lease.json", b"{"), "or cannot be read"),
    ],
    ids=["given back", "taken away", "deleted", "damaged"],
)
def test_a_refused_write_says_what_became_of_the_lease(
    tmp_path: Path, end: Callable[[Store, Lease], Any], named: str
) -> None:
    store, lease = Store(tmp_path), Lease(Store(tmp_path), "s")
    lease.take()
    fenced = store.fenced(lease.fence)
    end(store, lease)
    with pytest.raises(DisplacedError, match=named):
        fenced.write_record(make_record(TRIAL))


def test_a_run_under_its_lease_writes_all_of_it(uri: str) -> None:
    store, lease = Store(uri), Lease(Store(uri), "s")
    lease.take()
    for what, write in WRITES.items():
        if what != "removal of a record":
            write(store.fenced(lease.fence))
    assert isinstance(store.record(TRIAL.id), Record)
    assert store.attempts(TRIAL.id)[0].lease == lease.fence.token
    assert store.read_bytes("studies/s/search.jsonl") == b"{}\n"


def test_a_record_that_is_there_is_never_replaced_by_a_run(uri: str) -> None:
    store, lease = Store(uri), Lease(Store(uri), "s")
    lease.take()
    first = make_record(TRIAL, attempt="001-aa")
    store.write_record(first)
    store.fenced(lease.fence).write_record(make_record(TRIAL, attempt="002-bb"))
    assert store.record(TRIAL.id) == first


def test_a_record_that_cannot_be_read_is_replaced(uri: str) -> None:
    store, lease = Store(uri), Lease(Store(uri), "s")
    lease.take()
    store.write_bytes(f"trials/{TRIAL.id}/record.json", b"{")
    store.fenced(lease.fence).write_record(make_record(TRIAL))
    assert store.record(TRIAL.id) == make_record(TRIAL)


def test_workers_of_a_pack_carry_the_lease_of_its_run(tmp_path: Path) -> None:
    store, lease = Store(tmp_path), Lease(Store(tmp_path), "s")
    lease.take()
    make_pack("s", fence=lease.fence).write(store)
    assert Pack.read(store, make_pack("s").path).fence == lease.fence


def test_a_stopped_holder_that_wakes_up_after_its_lease_records_nothing(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_note, "STALE_SECONDS", 1.0)
    said, recorded = late_record(uri, pause=1.5)
    assert "is no longer this run's" in said
    assert not recorded


def test_of_two_processes_that_start_at_once_one_holds_the_lease(uri: str) -> None:
    assert race(uri, rounds=10) == {1: 10}


@pytest.mark.parametrize(("meant", "heard"), [("this run", True), ("an earlier run", False), ("", False)])
def test_a_run_forgets_requests_to_stop_that_were_not_meant_for_it(
    tmp_path: Path, meant: str, heard: bool
) -> None:
    store, lease = Store(tmp_path), Lease(Store(tmp_path), "s")
    lease.take()
    run = store.fenced(lease.fence)
    request_stop(store, "study", "s", lease.fence.token if meant == "this run" else meant)
    clear_stop(run, "study", "s")
    assert stop_requested(run, "study", "s") is heard


@pytest.mark.parametrize(("meant", "heard"), [("this run", True), ("an earlier run", False), ("", True)])
def test_a_run_hears_requests_that_are_meant_for_it_or_for_any(
    tmp_path: Path, meant: str, heard: bool
) -> None:
    store, lease = Store(tmp_path), Lease(Store(tmp_path), "s")
    lease.take()
    request_stop(store, "trial", TRIAL.id, lease.fence.token if meant == "this run" else meant)
    assert stop_requested(store.fenced(lease.fence), "trial", TRIAL.id) is heard
