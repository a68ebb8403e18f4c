"""A study is run by one process at a time; a lease left behind is taken over."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from assay.storage import Store
from assay.storage.lease import Lease, LeaseNote, holder
from trainables.errors import InputError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def leave(store: Store, pid: int, host: str | None = None, age: float = 0.0) -> None:
    beat = time.time() - age
    note = LeaseNote(token="other", host=host or socket.gethostname(), pid=pid, started=beat, beat=beat)
    store.write_bytes("studies/s/lease.json", note.model_dump_json().encode())


def test_a_second_run_is_refused_with_host_process_and_time(store: Store) -> None:
    with Lease(store, "s"), pytest.raises(InputError) as refusal, Lease(store, "s"):
        pass
    assert str(os.getpid()) in str(refusal.value)
    assert socket.gethostname() in str(refusal.value)
    assert time.strftime("%Y-%m-%d") in str(refusal.value)


def test_another_study_may_run_beside_it(store: Store) -> None:
    with Lease(store, "s"), Lease(store, "t"):
        assert holder(store, "s") is not None


def test_the_lease_is_free_again_after_the_run_even_when_it_failed(store: Store) -> None:
    with pytest.raises(RuntimeError), Lease(store, "s"):
        raise RuntimeError
    assert holder(store, "s") is None
    with Lease(store, "s"):
        pass


def test_the_lease_of_a_dead_process_is_taken_over(store: Store) -> None:
    child = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], stdout=subprocess.PIPE, check=True
    )
    leave(store, int(child.stdout))
    with Lease(store, "s"):
        assert holder(store, "s").pid == os.getpid()  # type: ignore[union-attr]


def test_the_lease_of_another_host_counts_for_sixty_seconds(store: Store) -> None:
    leave(store, 1, host="elsewhere", age=30)
    with pytest.raises(InputError, match="elsewhere"), Lease(store, "s"):
        pass
    leave(store, 1, host="elsewhere", age=61)
    with Lease(store, "s"):
        pass


def test_the_holder_gives_signs_of_life(store: Store) -> None:
    with Lease(store, "s", beat_seconds=0.02):
        first = holder(store, "s")
        time.sleep(0.2)
        second = holder(store, "s")
    assert first is not None
    assert second is not None
    assert second.beat > first.beat
    assert second.started == first.started


def test_a_holder_that_was_taken_over_learns_it_and_leaves_the_other_alone(store: Store) -> None:
    with Lease(store, "s", beat_seconds=0.02) as lease:
        leave(store, os.getpid())
        assert lease.lost.wait(5)
    assert holder(store, "s").token == "other"  # type: ignore[union-attr]


def test_of_many_that_start_at_once_exactly_one_runs(store: Store) -> None:
    entered: list[int] = []
    done = threading.Event()

    def enter() -> None:
        try:
            with Lease(store, "s"):
                entered.append(1)
                done.wait(10)
        except InputError:
            entered.append(0)

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(entered) < 8:
        time.sleep(0.01)
    done.set()
    for thread in threads:
        thread.join()
    assert sum(entered) == 1


def test_a_lease_cut_short_belongs_to_nobody(store: Store) -> None:
    store.write_bytes("studies/s/lease.json", b'{"token": ')
    assert holder(store, "s") is None
    with Lease(store, "s"):
        assert holder(store, "s") is not None
