"""A GPU's memory is too small: predictions are halved, trials that share a GPU are tried again alone."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from assay.engine.worker.train_trials import train_trials
from assay.engine.worker.worker import BatchWorker, gpu_turn
from assay.storage import Record, Store
from tests.engine.made_batches import make_batch
from tests.engine.toy_study import ToyStudy
from tests.helpers.waiting import wait_for
from trainables.runtime.device import is_out_of_memory, memory_fraction

SHARE = "out of memory on a share of 0.25 of the GPU; raise resources.gpus"
Toy = Callable[..., tuple[ToyStudy, list[Record]]]


@pytest.fixture
def toy(tmp_path: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """Train toys in this process, as one that has ``gpus`` of a GPU; the CPU stands for it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def train(name: str, gpus: float, **settings: object) -> tuple[ToyStudy, list[Record]]:
        config = ", ".join(f"{key}: {value}" for key, value in settings.items())
        level = f"level: {{one: {{config: {{{config}}}}}}}"
        study = ToyStudy.make(tmp_path / name, cache_root, factor=level, seeds=(0,))
        batch = make_batch(study.plan, study.plan.trials, cache=cache_root, resources={"gpus": gpus})
        train_trials(BatchWorker(batch, study.store, 0, 1, "node", 0, "cpu"))
        return study, list(study.records().values())

    return train


def log(study: ToyStudy, record: Record, attempt: str) -> str:
    return study.store.read_bytes(f"trials/{record.id}/{attempt}/log.txt").decode()


def test_a_trial_that_is_short_of_its_share_goes_on_alone_and_ends_the_same(toy: Toy) -> None:
    _, [undisturbed] = toy("whole", 0.25, fault="none")
    study, [record] = toy("short", 0.25, fault="gpu_memory_once")
    assert (record.status, record.attempts) == ("finished", 2)
    assert (undisturbed.environment.gpu_share, record.environment.gpu_share) == (0.25, 1.0)
    assert record.result is not None
    assert undisturbed.result is not None
    assert record.result.weights_hash == undisturbed.result.weights_hash
    first, last = sorted(attempt.attempt for attempt in study.store.attempts(record.id))
    assert SHARE in log(study, record, first).splitlines()[-1]
    assert "resumed after epoch 1" in log(study, record, last)


def test_a_trial_that_waits_to_be_alone_gives_signs_of_life(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.engine.worker.worker._SIGN_SECONDS", 0.5)
    store, beats = Store(tmp_path / "short"), list[float]()

    def beats_while_neighbour_trains() -> None:
        """The neighbour leaves after the third heartbeat since the trial ran out of memory."""
        with gpu_turn(False, threading.Event(), nothing):
            began.set()
            wait_for(lambda: any(SHARE in log.read_text() for log in (tmp_path / "short").rglob("log.txt")))
            while len(beats) < 3:
                beat = beat_of(store)
                wait_for(lambda beat=beat: beat_of(store) > beat)
                beats.append(beat_of(store))

    began = threading.Event()
    with ThreadPoolExecutor() as threads:
        neighbour = threads.submit(beats_while_neighbour_trains)
        assert began.wait(10)
        _, [record] = toy("short", 0.25, fault="gpu_memory_once")
        neighbour.result(10)
    assert (record.status, record.environment.gpu_share, len(beats)) == ("finished", 1.0, 3)


def beat_of(store: Store) -> float:
    """When the one trial last gave a sign of life, Unix time."""
    [trial] = store.trials()
    progress = store.progress(trial)
    assert progress is not None
    return progress.time


@pytest.mark.parametrize(
    ("gpus", "reason"),
    [
        (
            0.25,
            "out of memory alone on the GPU, not only on a share of 0.25; lower the batch or image size",
        ),
        (1, "out of memory on the GPU; lower the batch or image size"),
    ],
)
def test_a_trial_that_no_memory_is_enough_for_fails_after_two_attempts(
    toy: Toy, gpus: float, reason: str
) -> None:
    _, [record] = toy("never", gpus, fault="gpu_memory")
    assert (record.status, record.attempts) == ("failed", 2)
    assert (record.reason or "").startswith(f"{reason} (OutOfMemoryError: CUDA out of memory")


@pytest.mark.parametrize("holds", [1, 3, 7])
def test_predictions_that_memory_does_not_hold_are_halved_and_score_the_same(toy: Toy, holds: int) -> None:
    study, [whole] = toy("all", 0)
    halved_study, [halved] = toy("few", 0, holds=holds)
    tables = [
        s.store.read_table(f"trials/{r.id}/{r.attempt}/predictions.parquet")
        for s, r in ((study, whole), (halved_study, halved))
    ]
    assert halved.attempts == 1
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("cuBLAS: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (MemoryError("CUDA error: out of memory"), False),
    ],
    ids=str,
)
def test_errors_that_mean_a_gpus_memory(error: Exception, short: bool) -> None:
    assert is_out_of_memory(error) is short


@pytest.mark.parametrize(
    ("share", "gib", "fraction"),
    [(1, 80, 1.0), (0.5, 80, 0.4927), (0.25, 80, 0.2427), (0.25, 8, 0.1768), (0.1, 4, 0.05)],
)
def test_a_share_of_the_memory_leaves_room_for_cuda_itself(share: float, gib: int, fraction: float) -> None:
    assert memory_fraction(share, gib * 2**30) == pytest.approx(fraction, abs=1e-4)


@pytest.fixture
def turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def nothing() -> None:
    """Nobody is told of the wait."""


@pytest.mark.usefixtures("turns")
def test_many_share_a_gpu_and_one_waits_to_be_alone() -> None:
    stop, order = threading.Event(), list[str]()

    def take(alone: bool, name: str) -> None:
        with gpu_turn(alone, stop, nothing) as mine:
            assert mine
            order.append(name)

    with ThreadPoolExecutor() as threads:
        with gpu_turn(False, stop, nothing), gpu_turn(False, stop, nothing):  # both at once
            alone = threads.submit(take, True, "alone")
            with pytest.raises(TimeoutError):
                alone.result(0.5)
            later = threads.submit(take, False, "later")  # does not overtake who waits
            with pytest.raises(TimeoutError):
                later.result(0.5)
        later.result(10)
        alone.result(10)
    assert order == ["alone", "later"]


@pytest.mark.usefixtures("turns")
def test_a_run_that_stops_waits_for_no_turn() -> None:
    stop = threading.Event()
    with ExitStack() as held, ThreadPoolExecutor() as threads:
        held.enter_context(gpu_turn(True, stop, nothing))
        waiting = threads.submit(lambda: held.enter_context(gpu_turn(False, stop, nothing)))
        stop.set()
        assert waiting.result(10) is False


@pytest.mark.usefixtures("turns")
def test_a_turn_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import tempfile, threading, time\nfrom assay.engine.worker.worker import gpu_turn\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "with gpu_turn(True, threading.Event(), bool):\n    print('mine', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        other.kill()
    with gpu_turn(True, threading.Event(), nothing) as mine:
        assert mine
