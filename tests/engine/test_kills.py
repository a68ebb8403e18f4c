"""Whatever process of Ray's is killed, the run ends with the results of an undisturbed one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.engine.driver import PackDriver
from assay.study import Trial
from tests.engine.killing import EPOCHS, KILLS, in_the_middle, kill_first, undisturbed_results, without_ids
from tests.engine.toy_study import ToyStudy

Toy = Callable[..., ToyStudy]

# The second trial ends by itself after its kill; the third is held until its own.
LATER_HELD = (
    "pace: {quick: {config: {seconds: 0.0}}, short: {config: {seconds: 0.3}}, held: {config: {seconds: 0.8}}}"
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> dict[str, object]:
    return undisturbed_results(tmp_path_factory.mktemp("undisturbed"), cache_root)


@pytest.mark.ray
@pytest.mark.usefixtures("free_cluster")
def test_a_killed_driver_changes_no_result(toy: Toy, undisturbed: dict[str, object]) -> None:
    study = toy(**KILLS)
    killed = kill_first("ray::ResourceTrainable", study, in_the_middle(study))
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
def test_processes_that_are_killed_in_later_packs_give_back_their_cores_and_their_trials_go_on(
    toy: Toy,
) -> None:
    study = toy(**{**KILLS, "pack": "1", "workers": 2, "factor": LATER_HELD})
    first, second, third = study.plan.trials

    def in_the_midst_of(trial: Trial) -> Callable[[], bool]:
        def look() -> bool:
            beat = study.store.progress(trial.id)
            return beat is not None and 2 <= beat.epoch < EPOCHS - 1

        return look

    worker = kill_first("ray::RayTrainWorker", study, in_the_midst_of(second), release=False)
    driver = kill_first("ray::ResourceTrainable", study, in_the_midst_of(third))
    assert study.run().finished == 3
    assert (len(worker), len(driver)) == (1, 1), "a process was not there to kill"
    records = study.records()
    assert [records[trial.id].attempts for trial in (first, second, third)] == [1, 2, 2]
    for trial in (second, third):
        _goes_on_from_its_checkpoint(study, trial.id)


class _EndsAndRaises(PackDriver):
    """Is killed the first time that it takes on a second pack, and raises the next time."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        folder = Path(self._store.local_path or "")
        if not (folder / "ended").exists():
            (folder / "ended").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if not (folder / "raised").exists():
            (folder / "raised").touch()
            raise FileNotFoundError("the folder of the node went away")
        return super().reset_config(new_config)


@pytest.mark.ray
@pytest.mark.usefixtures("free_cluster")
def test_drivers_that_end_between_two_packs_lose_none(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.engine.driver.PackDriver", _EndsAndRaises)
    study = toy(name="kills", seeds=(0, 1, 2, 3), pack="1")
    outcome = study.run()
    assert (study.storage / "ended").exists()
    assert (study.storage / "raised").exists()
    assert (outcome.finished, outcome.missing, outcome.problems) == (8, 0, ())
