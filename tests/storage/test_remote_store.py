"""A store that is not a local folder: the same behaviour through pyarrow's in-memory filesystem."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest

from assay.storage import Environment, Store
from assay.storage.lease import Lease, holder
from assay.storage.retention import clean_plan, free
from tests.analysis.made_studies import make_plan, make_record
from tests.ports import free_port
from trainables.errors import InputError, StorageError

PLAN = make_plan()


@pytest.fixture
def store() -> Store:
    return Store("mock:///bucket/results")


def test_it_has_no_local_files(store: Store) -> None:
    assert store.local_path is None
    assert store.local_file("trials") is None


def test_records_attempts_and_tables_come_back(store: Store) -> None:
    records = {trial.id: make_record(trial) for trial in PLAN.trials}
    for record in records.values():
        store.write_record(record)
    assert store.records([*records, "00000000000000ff"]) == records
    assert store.trials() == sorted(records)
    attempt = store.begin_attempt(PLAN.trials[0].id, Environment(pid=3))
    assert [start.pid for start in store.attempts(PLAN.trials[0].id)] == [3]
    table = pa.table({"epoch": [0]})
    store.write_table(f"{attempt.prefix}/curve.parquet", table)
    assert store.read_table(f"{attempt.prefix}/curve.parquet").equals(table)


def test_a_folder_is_measured_and_deleted(store: Store) -> None:
    store.write_bytes("trials/a/001/model/config.json", b"12345")
    assert store.size("trials") == 5
    store.delete_tree("trials/a")
    assert not store.exists("trials/a")


def test_a_second_run_is_refused_here_too(store: Store) -> None:
    with Lease(store, "s"), pytest.raises(InputError, match="one process at a time"), Lease(store, "s"):
        pass
    assert holder(store, "s") is None


def test_leftovers_are_freed(store: Store) -> None:
    store.write_bytes(".tune/run/x", b"123")
    assert free(store, clean_plan(store)) == 3
    assert store.list(".tune") == []


def test_a_google_store_that_is_away_is_given_up_within_seconds() -> None:
    away = Store(f"gs://bucket/x?scheme=http&endpoint_override=127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(StorageError, match="does not answer"):
        away.read_bytes("trials/x")
    assert time.monotonic() - began < 20
