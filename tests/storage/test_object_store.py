"""The store on a real S3 server: whole objects, few requests, and errors in plain words."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.storage import Environment, Store
from assay.storage.check.retention import clean_plan, free
from assay.storage.lease import Lease, clear_stop, holder, request_stop, stop_requested
from assay.study.planning.plan_table import table_of_plan
from tests.analysis.made_studies import make_plan, make_record
from tests.helpers.ports import free_port
from tests.helpers.s3_server import CREDENTIALS, S3Server, relay
from trainables.errors import InputError, StorageError

PLAN = make_plan()
TRIAL = PLAN.trials[0].id
pytestmark = pytest.mark.usefixtures("credentials")


@pytest.fixture
def store(server: S3Server, request: pytest.FixtureRequest) -> Store:
    """A prefix of the bucket for each test."""
    return Store(server.uri(f"bucket/{request.node.name.partition('[')[0]}"))


def test_records_tables_and_attempts_come_back(store: Store) -> None:
    records = {trial.id: make_record(trial) for trial in PLAN.trials}
    for record in records.values():
        store.write_record(record)
    assert store.records([*records, "00000000000000ff"]) == records
    assert store.trials() == sorted(records)
    store.write_table("studies/additions/plan.parquet", table_of_plan(PLAN))
    assert store.read_table("studies/additions/plan.parquet").equals(table_of_plan(PLAN))
    for number in (1, 2):
        assert store.begin_attempt(TRIAL, Environment(pid=number)).number == number
    assert [start.pid for start in store.attempts(TRIAL)] == [1, 2]
    assert store.studies() == ["additions"]


def test_a_reader_sees_the_old_object_or_the_new_one_never_a_part(store: Store) -> None:
    lengths = (6_000_000, 5_000_000, 7_000_000, 6_500_000, 5_500_000)  # large enough to go up in parts
    first, *later = (bytes([i]) * length for i, length in enumerate(lengths))
    bodies = {first, *later}
    store.write_bytes("x", first)
    writers = [threading.Thread(target=store.write_bytes, args=("x", body)) for body in later]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert store.read_bytes("x") in bodies


@pytest.mark.parametrize(
    ("what", "requests"),
    [
        ("write a small object", ["PUT"]),
        ("read a small object", ["HEAD", "GET", "HEAD"]),
        ("read a large object", ["HEAD", "GET", "HEAD"]),
        ("look for a record that is not there", ["HEAD"]),
        ("look for a stop request", ["HEAD"]),
        ("list the trials", ["GET"]),
        ("see whether a study left something new", ["GET"]),
        ("begin a second attempt", ["GET", "PUT"]),
    ],
)
def test_what_is_done_often_takes_few_requests(
    store: Store, server: S3Server, what: str, requests: list[str]
) -> None:
    store.write_bytes("small", b"1" * 1000)
    store.write_bytes("large", b"1" * 4_000_000)
    store.begin_attempt(TRIAL, Environment())
    do = {
        "write a small object": lambda: store.write_bytes("new", b"1"),
        "read a small object": lambda: store.read_bytes("small"),
        "read a large object": lambda: store.read_bytes("large"),
        "look for a record that is not there": lambda: store.record(TRIAL),
        "look for a stop request": lambda: stop_requested(store, "trial", TRIAL),
        "list the trials": store.trials,
        "see whether a study left something new": store.stamps_of_studies,
        "begin a second attempt": lambda: store.begin_attempt(TRIAL, Environment()),
    }[what]
    before = len(server.requests())
    do()
    assert [request.split()[0] for request in server.requests()[before:]] == requests


def test_what_a_study_leaves_has_another_stamp_whenever_it_is_written(store: Store) -> None:
    assert store.stamps_of_studies() == {}
    store.write_bytes("studies/a/plan.parquet", b"1")
    store.write_bytes("studies/a/registered.json", b"1")
    first = store.stamps_of_studies()
    assert len(first) == 1
    store.write_bytes("studies/b/summary.parquet", b"1")
    store.write_bytes("studies/a/registered.json", b"12")
    assert len(first.items() | store.stamps_of_studies().items()) == 3


def test_a_stop_request_is_heard_and_forgotten(store: Store) -> None:
    assert not stop_requested(store, "study", "s")
    request_stop(store, "study", "s")
    assert stop_requested(store, "study", "s")
    clear_stop(store, "study", "s")
    assert not stop_requested(store, "study", "s")


def test_a_second_run_is_refused_and_the_lease_is_free_afterwards(store: Store) -> None:
    with Lease(store, "s"), pytest.raises(InputError, match="one process at a time"), Lease(store, "s"):
        pass
    assert holder(store, "s") is None


def test_leftovers_are_freed(store: Store) -> None:
    store.write_record(make_record(PLAN.trials[0], attempt="002-bb"))
    store.write_bytes(f"trials/{TRIAL}/checkpoint.safetensors", b"12345")
    store.write_bytes(f"trials/{TRIAL}/001-aaaaaaaa/log.txt", b"123")
    store.write_bytes(".tune/run/x", b"1")
    assert free(store, clean_plan(store)) == 9
    assert clean_plan(store) == []
    assert isinstance(store.record(TRIAL), type(make_record(PLAN.trials[0])))


@pytest.mark.parametrize("do", ["studies", "probe"])
def test_a_bucket_that_does_not_exist_is_named(server: S3Server, do: str) -> None:
    store = Store(server.uri("nowhere/results"))
    with pytest.raises(StorageError, match=r"s3://nowhere/results\S* names a bucket that does not exist"):
        getattr(store, do)()


def test_an_empty_bucket_holds_no_studies(store: Store) -> None:
    assert store.studies() == []


def test_refused_credentials_are_named_without_the_secret(tmp_path: Path) -> None:
    with S3Server(tmp_path, open_requests=1) as strict:
        store = Store(strict.uri())
        for act in (store.studies, store.probe, lambda: store.record(TRIAL)):
            with pytest.raises(StorageError, match="refuses these credentials") as refusal:
                act()
            assert "AWS_SECRET_ACCESS_KEY" in str(refusal.value)
            assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in str(refusal.value)


def test_a_server_that_is_away_is_named_and_no_record_counts_as_missing() -> None:
    store = Store(f"s3://bucket/results?endpoint_override=127.0.0.1:{free_port()}&scheme=http")
    with pytest.raises(StorageError, match=r"does not answer .*What is finished is kept"):
        store.records([TRIAL])


def test_a_storage_that_has_to_be_asked_before_it_opens_may_be_away_too() -> None:
    # Hadoop's client looks for its library and its server, S3's for a bucket's region (in the cloud only).
    with pytest.raises(StorageError, match=r"hdfs://nobody:1/x does not answer") as said:
        Store("hdfs://nobody:1/x")
    assert len(str(said.value)) < 700  # its client names 90 places where Java is not


def test_who_is_patient_gets_an_answer_when_the_server_is_back(tmp_path: Path) -> None:
    port = free_port()
    store = Store(f"s3://bucket/results?endpoint_override=127.0.0.1:{port}&scheme=http", patience=60)
    written: list[str] = []
    writer = threading.Thread(target=lambda: written.append(store.write_bytes("x", b"1")))
    # The server keeps its bucket while nobody reaches it.
    with S3Server(tmp_path) as server:
        writer.start()
        writer.join(1)
        assert writer.is_alive()
        with relay(port, server.port):
            writer.join(60)
            assert len(written) == 1
            assert store.read_bytes("x") == b"1"


@pytest.fixture
def silent() -> Iterator[str]:
    """The URI of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"s3://bucket/results?endpoint_override=127.0.0.1:{listening.getsockname()[1]}&scheme=http"


def test_a_server_that_never_answers_is_away_within_seconds(silent: str) -> None:
    began = time.monotonic()
    with pytest.raises(StorageError, match="does not answer"):
        Store(silent).record(TRIAL)
    assert time.monotonic() - began < 30


def test_a_google_store_that_is_away_is_given_up_within_seconds() -> None:
    away = Store(f"gs://bucket/x?scheme=http&endpoint_override=127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(StorageError, match="does not answer"):
        away.read_bytes("trials/x")
    assert time.monotonic() - began < 20


def test_keys_of_others_are_never_freed(store: Store) -> None:
    for folder in ("trials/old", f"trials/{TRIAL}", "stages/old", f"stages/{'e' * 16}"):
        for name in ("copy-1", "copy-2"):
            store.write_bytes(f"{folder}/{name}/record.json", b"{}")
    assert store.trials() == [TRIAL]
    assert clean_plan(store) == []
