"""The store that counts requests, of the benchmark of scale, beside a real S3 server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from assay.storage import Lease, Store
from assay.study import Plan
from benchmarks.scale.storage import CountedStore
from tests.analysis.made_studies import make_plan, make_record
from tests.helpers.s3_server import S3Server

PLAN: Plan = make_plan()
RECORD = make_record(PLAN.trials[0])

STEPS: dict[str, Callable[[Store], object]] = {
    "read what is there": lambda store: store.read_bytes("trials/a/x"),
    "read what is not": lambda store: store.record("a"),
    "look for what is there": lambda store: store.exists("trials/a/x"),
    "look for what is not": lambda store: store.exists("trials/c"),
    "list": lambda store: store.trials(),
    "list more than a page": lambda store: store.list("many"),
    "list nothing": lambda store: store.list("none"),
    "delete an object": lambda store: store.delete_tree("trials/a/x"),
    "delete what is not there": lambda store: store.delete_tree("trials/a/z"),
    "delete a folder": lambda store: store.delete_tree("trials/a"),
    "write a record": lambda store: store.write_record(RECORD),
    "take a lease and give it back": lambda store: Lease(store, "study").__enter__().__exit__(),
}


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("step", STEPS)
def test_as_many_requests_are_counted_as_a_server_sees(server: S3Server, step: str) -> None:
    counted, real = CountedStore(), Store(server.uri(f"bucket/{list(STEPS).index(step)}"))
    for store in (counted, real):
        for path in ("trials/a/x", "trials/a/y", "trials/a/attempt/x", "trials/b/x"):
            store.write_bytes(path, b"1")
        if step == "list more than a page":
            for number in range(1001):
                store.write_bytes(f"many/{number}", b"1")
    counted.requests.clear()
    before = len(server.requests())
    for store in (counted, real):
        STEPS[step](store)
    assert _counts(Counter(counted.requests)) == _seen(server.requests()[before:])


def _counts(requests: Counter[str]) -> Counter[str]:
    """Counts by what a server's log tells: a conditional PUT is a PUT there."""
    requests["PUT"] += requests.pop("conditional PUT", 0)
    return +requests


def _seen(requests: list[str]) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for request in requests:
        method, path = request.split()
        kinds["LIST" if "list-type" in path else "PUT" if method == "POST" else method] += 1
    return kinds


def test_a_plan_that_was_seen_is_not_asked_for_again() -> None:
    store = CountedStore()
    for name in ("begun", "forecast"):
        store.lay(f"studies/{name}/forecast.json", b"{}")
    store.lay("studies/begun/plan.parquet", b"")
    assert store.studies() == ["begun"]
    assert store.requests == {"LIST": 2, "HEAD": 2}
    store.lay("studies/forecast/plan.parquet", b"")
    assert store.studies() == ["begun", "forecast"]
    store.requests.clear()
    assert store.studies() == ["begun", "forecast"]
    assert store.requests == {"LIST": 1}
