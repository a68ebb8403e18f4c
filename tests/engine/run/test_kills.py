"""Whatever process of Ray's is killed, the run ends with the results of an undisturbed one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.study import Trial
from tests.engine.run.killing import (
    EPOCHS,
    KILLS,
    in_the_middle,
    kill_first,
    undisturbed_results,
    without_ids,
)
from tests.engine.toy_study import ToyStudy

Toy = Callable[..., ToyStudy]

# What a trial of two workers runs in, but for its Train run (`test_train_run.py`). One trial loses each, and
# one loses nothing.
OF_TWO_WORKERS = ("ray::RayTrainWorker", "ray::BatchDriver")
PACES = "calm: {config: {seconds: 0.0}}, " + ", ".join(
    f"p{number}: {{config: {{seconds: 0.1{number}}}}}" for number in range(len(OF_TWO_WORKERS))
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> dict[str, object]:
    return undisturbed_results(tmp_path_factory.mktemp("undisturbed"), cache_root)


@pytest.mark.ray
@pytest.mark.usefixtures("free_cluster")
def test_a_killed_driver_changes_no_result(toy: Toy, undisturbed: dict[str, object]) -> None:
    study = toy(**KILLS)
    killed = kill_first("ray::BatchDriver", study, in_the_middle(study))
    outcome = study.run()
    assert len(killed) == 1, "no driver was there to kill"
    assert (outcome.finished, outcome.missing) == (2, 0), outcome
    assert without_ids(study) == undisturbed
    _goes_on_from_its_checkpoint(study, study.plan.trials[0].id)


def _goes_on_from_its_checkpoint(study: ToyStudy, trial: str) -> None:
    logs = sorted(study.storage.glob(f"trials/{trial}/*/log.txt"))
    assert len(logs) == 2, "the killed trial had two attempts"
    resumed = [line.split("  ")[1] for line in logs[-1].read_text().splitlines()]
    epoch = int(next(line for line in resumed if line.startswith("resumed")).rpartition(" ")[2])
    assert next(line for line in resumed if line.startswith("epoch")) == f"epoch {epoch + 1}/{EPOCHS}"


@pytest.mark.timeout(600)
@pytest.mark.ray
@pytest.mark.usefixtures("free_cluster")
def test_each_process_of_two_workers_that_is_killed_gives_back_its_cores_and_its_trial_goes_on(
    toy: Toy,
) -> None:
    study = toy(**{**KILLS, "pack": "1", "workers": 2, "factor": f"pace: {{{PACES}}}"})
    calm, *disturbed = study.plan.trials

    def in_the_midst_of(trial: Trial) -> Callable[[], bool]:
        def look() -> bool:
            beat = study.store.progress(trial.id)
            return beat is not None and 2 <= beat.epoch < EPOCHS - 1

        return look

    killed = [
        kill_first(mark, study, in_the_midst_of(trial), release=trial is disturbed[-1])
        for mark, trial in zip(OF_TWO_WORKERS, disturbed, strict=True)
    ]
    assert study.run().finished == 1 + len(disturbed)
    assert [len(one) for one in killed] == [1] * len(killed), "a process was not there to kill"
    records = study.records()
    assert [records[trial.id].attempts for trial in study.plan.trials] == [1, 2, 2]
    assert len({str(result) for result in without_ids(study).values()}) == 1
    assert records[calm.id].result is not None
    for trial in disturbed:
        _goes_on_from_its_checkpoint(study, trial.id)
