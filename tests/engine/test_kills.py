"""Whatever process of Ray's is killed, the run ends with the results of an undisturbed one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.engine.driver import PackDriver
from tests.engine.killing import EPOCHS, KILLS, in_the_middle, kill_first, undisturbed_results, without_ids
from tests.engine.toy_study import ToyStudy

Toy = Callable[..., ToyStudy]

SECOND_HELD = "pace: {quick: {config: {seconds: 0.0}}, held: {config: {seconds: 0.8}}}"


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


@pytest.mark.ray
@pytest.mark.usefixtures("free_cluster")
@pytest.mark.parametrize("title", ["ray::RayTrainWorker", "ray::ResourceTrainable"])
def test_a_process_that_is_killed_in_its_second_pack_gives_back_its_cores_and_its_trial_goes_on(
    toy: Toy, title: str
) -> None:
    study = toy(**{**KILLS, "pack": "1", "workers": 2, "factor": SECOND_HELD})
    first, second = study.plan.trials

    def in_the_second() -> bool:
        beat = study.store.progress(second.id)
        return beat is not None and 2 <= beat.epoch < EPOCHS - 1

    killed = kill_first(title, study, in_the_second)
    assert study.run().finished == 2
    assert len(killed) == 1, f"no process {title} was there to kill"
    records = study.records()
    assert [records[trial.id].attempts for trial in (first, second)] == [1, 2]
    _goes_on_from_its_checkpoint(study, second.id)


class _EndsOnce(PackDriver):
    """Ends, or raises, the first time that it takes on a second pack."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        note = Path(self._store.local_path or "") / "ended"
        if note.exists():
            return super().reset_config(new_config)
        note.touch()
        self.end()
        return True

    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class _RaisesOnce(_EndsOnce):
    def end(self) -> None:
        raise FileNotFoundError("the folder of the node went away")


@pytest.mark.ray
@pytest.mark.usefixtures("free_cluster")
@pytest.mark.parametrize("other", [_EndsOnce, _RaisesOnce])
def test_a_driver_that_ends_between_two_packs_loses_none(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, other: type[PackDriver]
) -> None:
    monkeypatch.setattr("assay.engine.driver.PackDriver", other)
    study = toy(name="kills", seeds=(0, 1, 2), pack="1")
    outcome = study.run()
    assert (study.storage / "ended").exists()
    assert (outcome.finished, outcome.missing, outcome.problems) == (6, 0, ())
