"""Plans become records through real Ray: what is missing is trained, once, and nothing else."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import ray

from tests.engine.cluster.on_cluster import training
from tests.engine.toy_study import ToyStudy

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("free_cluster")]

Toy = Callable[..., ToyStudy]


class Together(NamedTuple):
    """A study of two workers, and the addresses on which each process below this one listened meanwhile."""

    study: ToyStudy
    listening: list[set[str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache_root: Path, ray_session: None) -> ToyStudy:
    """Two cells × one seed, trained once; tests look at its records."""
    study = ToyStudy.make(tmp_path_factory.mktemp("finished"), cache_root, seeds=(0,), pack="2")
    before = signal.getsignal(signal.SIGINT)
    assert study.run().trained_now == 2
    assert signal.getsignal(signal.SIGINT) is before, "a study leaves Ctrl-C as it found it"
    return study


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> ToyStudy:
    """One batch in which each cell goes wrong in its own way, and the last one goes well; without Ray."""
    cells = ", ".join(
        f"{fault}: {{config: {{fault: {fault}}}}}" for fault in ("diverge", "raise", "die", "none")
    )
    study = ToyStudy.make(
        tmp_path_factory.mktemp("faulty"), cache_root, seeds=(0,), pack="4", factor=f"fault: {{{cells}}}"
    )
    study.run(local=True, processes=1)
    return study


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, cache_root: Path, ray_session: None) -> Together:
    """The cells of ``finished`` with two workers each; where all processes listened while a trial trained."""
    storage = tmp_path_factory.mktemp("together") / "storage"
    study = ToyStudy.make(storage, cache_root, seeds=(0,), workers=2, pack="2", seconds=1.0, held=True)
    listening: list[set[str]] = []

    def look() -> None:
        while not training(study, 1):
            time.sleep(0.05)
        for process in psutil.Process(os.getpid()).children(recursive=True):
            connections = process.net_connections("tcp")
            listening.append({c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN})
        study.release()

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    assert study.run().finished == 2
    watcher.join()
    return Together(study, listening)


def test_a_new_seed_trains_only_itself(finished: ToyStudy, cache_root: Path) -> None:
    before = finished.results()
    assert finished.run().trained_now == 0
    extended = ToyStudy.make(finished.storage, cache_root, seeds=(0, 1, 2), pack="1")
    assert extended.run().trained_now == 4
    assert extended.results().items() >= before.items()


def test_a_record_names_its_node_its_worker_and_the_world(finished: ToyStudy) -> None:
    for record in finished.records().values():
        environment = record.environment
        assert environment.node in {node["NodeID"] for node in ray.nodes()}
        assert environment.pid == environment.driver_pid != os.getpid()
        assert environment.world_size == len(environment.workers) == 1
        assert environment.threads == 1


def test_cells_differ_in_their_weights(finished: ToyStudy) -> None:
    weights = [record.result.weights_hash for record in finished.records().values() if record.result]
    assert len(weights) == 2
    assert all(a != b for a, b in combinations(weights, 2))


def test_two_workers_see_different_shards_and_end_with_the_weights_of_one(
    finished: ToyStudy, together: Together
) -> None:
    alone = {trial.cell: finished.weights(trial.id) for trial in finished.plan.trials}
    records = together.study.records()
    for trial in together.study.plan.trials:
        record = records[trial.id]
        a, b = record.environment.workers
        assert (a.rank, b.rank) == (0, 1)
        assert a.pid != b.pid
        assert a.shard_hash != b.shard_hash
        assert a.weights_hash == b.weights_hash
        assert together.study.weights(trial.id) == pytest.approx(alone[trial.cell], abs=1e-5)


def test_two_workers_and_their_training_processes_meet_on_the_loopback(together: Together) -> None:
    assert len(together.listening) > 5
    addresses = {address.removeprefix("::ffff:") for each in together.listening for address in each}
    assert addresses == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("cell", "status", "reason"),
    [
        ("diverge", "diverged", "training diverged in epoch 0: the loss is not a number"),
        ("raise", "failed", "RuntimeError: the toy broke, as it was told to"),
        ("die", "failed", "its training process died in 4 attempts"),
    ],
)
def test_what_goes_wrong_in_one_trial_is_recorded_and_the_batch_goes_on(
    faulty: ToyStudy, cell: str, status: str, reason: str
) -> None:
    by_cell = {trial.cell: faulty.records()[trial.id] for trial in faulty.plan.trials}
    assert by_cell[cell].status == status
    assert (by_cell[cell].reason or "").startswith(reason)
    assert by_cell["none"].status == "finished"


def test_a_trial_that_dies_is_tried_four_times(faulty: ToyStudy) -> None:
    by_cell = {trial.cell: faulty.records()[trial.id] for trial in faulty.plan.trials}
    assert {cell: record.attempts for cell, record in by_cell.items()} == {
        "diverge": 1,
        "raise": 1,
        "die": 4,
        "none": 1,
    }
