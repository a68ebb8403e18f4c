"""Plans become records through real Ray: what is missing is trained, once, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import combinations

import pytest

from tests.engine.conftest import ToyStudy

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("free_cluster")]

Toy = Callable[..., ToyStudy]


def test_a_run_trains_what_is_missing_and_the_next_run_trains_nothing(toy: Toy) -> None:
    first = toy(seeds=(0,))
    assert (first.run().trained_now, first.run().trained_now) == (2, 0)
    extended = toy(seeds=(0, 1))
    assert extended.run().trained_now == 2
    assert extended.results().items() >= first.results().items()


def test_a_record_names_its_node_its_worker_and_the_world(toy: Toy) -> None:
    import ray

    study = toy(seeds=(0,))
    study.run()
    for record in study.records().values():
        environment = record.environment
        assert environment.node in {node["NodeID"] for node in ray.nodes()}
        assert len({environment.pid, environment.driver_pid, os.getpid()}) == 3
        assert environment.world_size == len(environment.workers) == 1
        assert environment.threads == 1


def test_cells_and_seeds_differ_in_their_weights(toy: Toy) -> None:
    study = toy(seeds=(0, 1))
    study.run()
    weights = [record.result.weights_hash for record in study.records().values()]
    assert all(a != b for a, b in combinations(weights, 2))


def test_two_workers_see_different_shards_and_end_with_the_weights_of_one(toy: Toy) -> None:
    alone, together = toy(storage="one"), toy(workers=2, storage="two")
    alone.run()
    together.run()
    for trial, record in together.records().items():
        a, b = record.environment.workers
        assert (a.rank, b.rank) == (0, 1)
        assert a.pid != b.pid
        assert a.shard_hash != b.shard_hash
        assert a.weights_hash == b.weights_hash
        curve = {
            key: study.store.read_table(_curve(study, trial))
            for key, study in {"one": alone, "two": together}.items()
        }
        assert curve["one"]["weight"].to_pylist() == pytest.approx(
            curve["two"]["weight"].to_pylist(), abs=1e-5
        )


def _curve(study: ToyStudy, trial: str) -> str:
    return f"trials/{trial}/{study.records()[trial].attempt}/curve.parquet"


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("diverge", "diverged", "training diverged in epoch 0: the loss is not a number"),
        ("raise", "failed", "RuntimeError: the toy broke, as it was told to"),
    ],
)
def test_what_goes_wrong_in_one_trial_is_recorded_and_the_pack_goes_on(
    toy: Toy, fault: str, status: str, reason: str
) -> None:
    study = toy(seeds=(0,), pack="2", edit=lambda text: text.replace("lr: 0.05", f"lr: 0.05, fault: {fault}"))
    outcome = study.run()
    slow, fast = (study.records()[trial.id] for trial in study.plan.trials)
    assert (slow.status, slow.reason, fast.status) == (status, reason, "finished")
    assert (outcome.finished, outcome.missing, outcome.interrupted) == (1, 0, False)


def test_a_trial_that_kills_its_worker_is_failed_after_four_attempts_and_the_pack_goes_on(toy: Toy) -> None:
    study = toy(seeds=(0,), pack="2", edit=lambda text: text.replace("lr: 0.05", "lr: 0.05, fault: die"))
    study.run()
    slow, fast = (study.records()[trial.id] for trial in study.plan.trials)
    assert (slow.status, slow.attempts, fast.status) == ("failed", 4, "finished")
    assert "its worker died in 4 attempts" in (slow.reason or "")


def test_failed_trials_are_tried_again_only_when_asked(toy: Toy) -> None:
    study = toy(seeds=(0,), edit=lambda text: text.replace("lr: 0.05", "lr: 0.05, fault: raise"))
    assert [study.run().trained_now, study.run().trained_now, study.run(retry_failed=True).trained_now] == [
        2,
        0,
        1,
    ]


def test_a_pruned_pack_is_recorded_and_gives_its_cpus_back(toy: Toy) -> None:
    from ray.tune.schedulers import FIFOScheduler, TrialScheduler

    class StopAfterOne(FIFOScheduler):
        def on_trial_result(self, tune_controller: object, trial: object, result: dict[str, float]) -> str:
            return TrialScheduler.STOP

    study = toy(seeds=(0, 1), pack="2", seconds=1.0)
    outcome = study.run(scheduler=StopAfterOne())
    assert (outcome.finished, outcome.pruned, outcome.missing) == (2, 2, 0)
