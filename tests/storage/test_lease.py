"""A study is run by one process at a time; a lease left behind is taken over."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.storage import Store
from assay.storage import lease as lease_module
from assay.storage.lease import Lease, LeaseNote, displace, holder, process_start, this_machine
from trainables.errors import InputError, StorageError


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


@pytest.mark.usefixtures("quick")
def test_the_holder_gives_signs_of_life(store: Store) -> None:
    with Lease(store, "s"):
        first = holder(store, "s")
        assert first is not None
        while (second := holder(store, "s")) is not None and second.beat == first.beat:
            time.sleep(0.01)
    assert second is not None
    assert second.beat > first.beat
    assert second.started == first.started


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("lost", "said"), [("storage", "is gone. Bring it back"), ("storage/studies", "its lease file is gone")]
)
def test_a_holder_whose_storage_or_lease_vanishes_learns_it_and_makes_none_anew(
    lost: str, said: str, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    with Lease(Store(storage), "s") as lease:
        (tmp_path / lost).rename(tmp_path / "away")
        assert lease.lost.wait(10)
        with pytest.raises(StorageError, match=said):
            lease.refuse_if_lost()
    assert storage.exists() == (lost != "storage")


@pytest.mark.usefixtures("quick")
def test_a_holder_that_was_taken_over_learns_it_and_leaves_the_other_alone(store: Store) -> None:
    with Lease(store, "s") as lease:
        leave(store, os.getpid())
        assert lease.lost.wait(60)
    assert holder(store, "s").token == "other"  # type: ignore[union-attr]


def test_of_many_that_start_at_once_exactly_one_runs(store: Store) -> None:
    entered: list[int] = []
    done = threading.Event()

    def enter() -> None:
        try:
            with Lease(store, "s"):
                entered.append(1)
                done.wait(100)
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


BROKEN = {
    "cut short": b'{"token": "a", "be',
    "empty": b"",
    "NaN": b'{"token": "a", "host": "h", "pid": 1, "started": 1.0, "beat": NaN}',
    "infinite": b'{"token": "a", "host": "h", "pid": 1, "started": 1.0, "beat": Infinity}',
    "before 1970": b'{"token": "a", "host": "h", "pid": 1, "started": 1.0, "beat": -5.0}',
    "of another shape": b'{"token": "a", "owner": "somebody"}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_lease_that_cannot_be_read_belongs_to_nobody_and_is_named(store: Store, content: bytes) -> None:
    store.write_bytes("studies/s/lease.json", content)
    assert holder(store, "s") is None
    said: list[str] = []
    with Lease(store, "s", say=said.append):
        assert holder(store, "s") is not None
    assert "studies/s/lease.json in" in said[0]
    assert "cannot be read" in said[0]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life come often."""
    monkeypatch.setattr(lease_module, "BEAT_SECONDS", 0.02)


class MadeClock:
    """Time of leases, which passes only while somebody sleeps."""

    def __init__(self, patch: pytest.MonkeyPatch, while_asleep: Callable[[], None] = lambda: None) -> None:
        self.slept, self._while_asleep = 0.0, while_asleep
        patch.setattr(lease_module, "time", self)

    def localtime(self, seconds: float) -> time.struct_time:
        return time.localtime(seconds)

    def strftime(self, form: str, moment: time.struct_time) -> str:
        return time.strftime(form, moment)

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self._while_asleep()

    def time(self) -> float:
        return time.time() + self.slept

    def monotonic(self) -> float:
        return self.slept


@pytest.mark.parametrize("host", ["elsewhere", None], ids=["another machine", "this machine"])
def test_a_beat_from_the_future_is_watched_for_a_minute_and_then_taken_over(
    store: Store, host: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(store, os.getpid(), host=host, age=-86_400)
    said: list[str] = []
    clock = MadeClock(monkeypatch)
    with Lease(store, "s", say=said.append):
        assert holder(store, "s").token != "other"  # type: ignore[union-attr]
    assert 60 <= clock.slept < 70
    assert "86400 s in the future: a clock was set back" in said[0]


def test_a_holder_whose_clock_is_ahead_keeps_its_lease_while_it_gives_signs_of_life(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(store, 1, host="elsewhere", age=-86_400)
    ages = iter(range(86_300, 0, -1))
    clock = MadeClock(monkeypatch, lambda: leave(store, 1, host="elsewhere", age=-next(ages)))
    with pytest.raises(InputError, match="process 1 on elsewhere"), Lease(store, "s"):
        pass
    assert clock.slept < 10


def note_of(pid: int, **changes: object) -> LeaseNote:
    usual = {"token": "t", "host": "elsewhere", "pid": pid, "started": 1.0, "beat": time.time()}
    return LeaseNote.model_validate({**usual, "machine": this_machine(), **changes})


@pytest.mark.parametrize(
    ("changes", "standing"),
    [
        ({"process": process_start(os.getpid())}, "held"),
        ({"process": "1"}, "free"),  # the pid is another process's by now
        ({"process": "1", "machine": "another boot"}, "held"),
        ({"process": process_start(os.getpid()), "beat": 1.0}, "stale"),  # a stopped process
        ({"process": process_start(os.getpid()), "held": False}, "free"),
        ({"process": "1", "machine": ""}, "held"),
    ],
)
def test_on_its_own_machine_a_holder_is_its_process_not_its_number(
    changes: dict[str, object], standing: str
) -> None:
    assert note_of(os.getpid(), **changes).standing(time.time()) == standing


@pytest.mark.usefixtures("quick")
def test_a_lease_that_was_taken_away_names_who_had_it_and_is_free(store: Store) -> None:
    with Lease(store, "s") as lease:
        taken = displace(store, "s")
        assert (taken.pid, taken.host) == (os.getpid(), socket.gethostname())
        assert lease.lost.wait(60)
        assert holder(store, "s") is None
        with Lease(store, "s") as later:
            assert later.token != lease.token


def test_nothing_is_taken_from_nobody(store: Store) -> None:
    with pytest.raises(InputError, match="nobody runs s"):
        displace(store, "s")


def test_a_beat_whose_answer_was_lost_is_no_takeover(store: Store) -> None:
    lease = Lease(store, "s")
    lease.take()
    note = LeaseNote.model_validate_json(store.read_bytes("studies/s/lease.json"))
    later = note.model_copy(update={"beat": note.beat + 1})
    store.write_bytes("studies/s/lease.json", later.model_dump_json().encode())
    assert lease.renew()
    assert not lease.lost.is_set()
    lease.give_back()
    assert holder(store, "s") is None
