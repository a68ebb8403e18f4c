"""Two runs of a study, on a folder or an object store: one at a time, and a late one does no harm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.engine.trial_batch import BatchReader
from assay.storage import Environment, Lease, Record, Store
from assay.storage.lease import DisplacedError, clear_stop, displace, request_stop, stop_requested
from assay.storage.search_points import read_points, write_points
from assay.study import parse_study, plan_study
from tests.analysis.made_studies import lose, make_plan, make_record
from tests.cli.small_search import DRAWN, SEARCH, draw
from tests.engine.made_batches import lay_down, make_batch
from tests.helpers.s3_server import S3Server
from tests.storage.lease_race import race
from trainables.errors import StorageError

PLAN = make_plan()
TRIAL = PLAN.trials[0]
FIRST, SECOND = make_record(TRIAL, attempt="001-aa"), make_record(TRIAL, attempt="002-bb")
FAILED = lose(TRIAL, "failed", "its worker died in 4 attempts")
PRUNED = lose(TRIAL, "pruned", "median of others")
DIVERGED = lose(TRIAL, "diverged", "loss is nan")


@pytest.fixture(params=["folder", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of its own for each test."""
    if request.param == "folder":
        return str(tmp_path)
    request.getfixturevalue("credentials")
    running: S3Server = request.getfixturevalue("server")
    return running.uri(f"bucket/{tmp_path.name}")


@pytest.mark.parametrize(
    ("first", "second", "stays"),
    [
        pytest.param(FIRST, SECOND, FIRST, id="two results"),
        pytest.param(FIRST, FAILED, FIRST, id="a failure after a result"),
        pytest.param(FAILED, SECOND, SECOND, id="a result after a failure"),
        pytest.param(FAILED, FAILED, FAILED, id="two failures"),
        pytest.param(PRUNED, DIVERGED, DIVERGED, id="trained to its end after it was pruned"),
        pytest.param(FAILED, DIVERGED, DIVERGED, id="diverged after a failure"),
        pytest.param(DIVERGED, PRUNED, DIVERGED, id="pruned after it was trained to its end"),
    ],
)
def test_of_two_endings_of_a_trial_the_first_stays_unless_the_second_says_more(
    uri: str, first: Record, second: Record, stays: Record
) -> None:
    store = Store(uri)
    store.create_record(first)
    store.create_record(second)
    assert store.record(TRIAL.id) == stays


def test_a_record_that_cannot_be_read_is_replaced(uri: str) -> None:
    store = Store(uri)
    store.write_bytes(f"trials/{TRIAL.id}/record.json", b"{")
    store.create_record(FAILED)
    assert store.record(TRIAL.id) == FAILED


@pytest.mark.parametrize(("there", "stays"), [(FAILED, False), (FIRST, True)], ids=["failure", "result"])
def test_a_failure_that_another_run_has_made_a_result_is_not_removed(
    uri: str, there: Record, stays: bool
) -> None:
    store = Store(uri)
    store.create_record(there)
    store.forget_record(TRIAL.id, "failed")
    assert (store.record(TRIAL.id) is not None) is stays


def test_points_of_a_search_are_added_and_none_is_lost(uri: str) -> None:
    store, plan = Store(uri), plan_study(parse_study(SEARCH, "hunt.yaml"), None, "cpu")
    for count in (3, 5):
        draw(store, plan, DRAWN[:count], score=lambda store, plan: None)
    drawn = read_points(store, plan)
    assert len(drawn) == 5
    with pytest.raises(StorageError, match="another run took the study over"):
        write_points(store, plan, drawn[:4])
    assert read_points(store, plan) == drawn


@pytest.mark.parametrize(
    ("end", "named"),
    [
        (lambda store, lease: Lease(store, "s").take(), r"process \d+ on "),
        (lambda store, lease: lease.give_back(), "this run has given it back"),
        (lambda store, lease: None, "`assay stop --force` took it away"),
        (lambda store, lease: store.delete_tree("studies/s/lease.json"), "its lease file is gone"),
        (lambda store, lease: store.write_bytes("studies/s/lease.json", b"{"), "or cannot be read"),
    ],
    ids=["another run", "given back", "taken away", "deleted", "damaged"],
)
def test_a_run_that_is_over_says_what_became_of_its_lease(
    tmp_path: Path, end: Callable[[Store, Lease], Any], named: str
) -> None:
    store, lease = Store(tmp_path), Lease(Store(tmp_path), "s")
    lease.take()
    if named != "this run has given it back":
        displace(store, "s")
    end(store, lease)
    with pytest.raises(DisplacedError, match=named):
        lease.refuse_if_lost()


def test_workers_of_a_batch_name_the_lease_of_its_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    batch = lay_down(make_batch(PLAN, lease="abc"), store)
    store.for_run(BatchReader(store).read(batch.path).run.lease).begin_attempt(TRIAL.id, Environment())
    assert store.attempts(TRIAL.id)[0].lease == "abc"


def test_of_two_processes_that_start_at_once_one_holds_the_lease(uri: str) -> None:
    assert race(uri, rounds=10) == {1: 10}


@pytest.mark.parametrize(("meant", "heard"), [("this run", True), ("an earlier run", False), ("", False)])
def test_a_run_forgets_requests_to_stop_that_were_not_meant_for_it(
    tmp_path: Path, meant: str, heard: bool
) -> None:
    store = Store(tmp_path)
    run = store.for_run("this run")
    request_stop(store, "study", "s", meant)
    clear_stop(run, "study", "s")
    assert stop_requested(run, "study", "s") is heard


@pytest.mark.parametrize(("meant", "heard"), [("this run", True), ("an earlier run", False), ("", True)])
def test_a_run_hears_requests_that_are_meant_for_it_or_for_any(
    tmp_path: Path, meant: str, heard: bool
) -> None:
    store = Store(tmp_path)
    request_stop(store, "trial", TRIAL.id, meant)
    assert stop_requested(store.for_run("this run"), "trial", TRIAL.id) is heard
