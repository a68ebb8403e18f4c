"""What a method tells its run is held to the same rules in a notebook and in a study."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from assay.engine.process.fit import TrainRun
from assay.engine.worker.trial_log import StoredLog
from assay.storage import Environment, Store
from tests.engine.worker.two_workers import trial_of
from trainables.contract import LocalRun, Run
from trainables.errors import InputError
from trainables.segdec import SegDecConfig

STATE = {"weight": torch.zeros(1)}


def run_of(where: str, folder: Path) -> Run:
    if where == "notebook":
        return LocalRun(folder=folder)
    trial, store = trial_of("segdec", SegDecConfig(image_size=(128, 64))), Store(folder)
    trial_log = StoredLog(trial, store, store.begin_attempt(trial.id, Environment()))
    return TrainRun(trial_log, seed=0, fold=None, device=torch.device("cpu"))


@pytest.fixture(params=["notebook", "study"])
def where(request: pytest.FixtureRequest) -> str:
    return request.param


def epochs_of(run: Run) -> list[float]:
    history = run.history if isinstance(run, LocalRun) else run.trial_log.history
    return [row["epoch"] for row in history]


@pytest.mark.parametrize("epoch", [-1, 0, 1])
def test_an_epoch_is_logged_once_and_in_order(where: str, tmp_path: Path, epoch: int) -> None:
    run = run_of(where, tmp_path)
    run.log(0, {}, 4)
    run.log(1, {}, 4)
    with pytest.raises(
        InputError, match=rf"each epoch once, .*, found epoch {epoch} where 1 was logged or kept\. Mend"
    ):
        run.log(epoch, {}, 4)
    assert epochs_of(run) == [0, 1]


def test_a_metric_does_not_take_the_place_of_its_epoch(where: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a metric of run\.log has another name .*, found `epoch`\. Rename"):
        run_of(where, tmp_path).log(0, {"loss": 1.0, "epoch": 7.0}, 1)


@pytest.mark.parametrize("name", ["seconds", "time"])
def test_a_metric_may_have_the_name_of_a_clock(where: str, tmp_path: Path, name: str) -> None:
    run = run_of(where, tmp_path)
    run.log(0, {name: 7.0}, 1)
    assert epochs_of(run) == [0]


def test_the_state_after_an_epoch_is_kept_once_that_is_logged(where: str, tmp_path: Path) -> None:
    run = run_of(where, tmp_path)
    run.log(0, {}, 4)
    run.checkpoint(2, STATE, {})
    with pytest.raises(InputError, match=r"before run\.checkpoint keeps the state .*, found epoch 1 where"):
        run.log(1, {}, 4)


@pytest.mark.parametrize(
    ("epochs", "finished", "after"),
    [
        ((0,), 1, 1),
        ((1, 2), 2, 3),  # counted from 1
        ((9, 19), 20, 29),  # every tenth
        ((0, 1, 2, 3), 4, 4),  # a second part goes on counting
    ],
)
def test_a_training_that_goes_on_logs_the_next_epoch_by_its_own_numbers(
    where: str, tmp_path: Path, epochs: tuple[int, ...], finished: int, after: int
) -> None:
    run = run_of(where, tmp_path)
    for epoch in epochs:
        run.log(epoch, {}, 2)
    run.checkpoint(finished, STATE, {})
    run.log(after, {}, 2)  # and is ended before it keeps its state
    for again in (run, run_of(where, tmp_path)):
        assert again.resume() is not None
        again.log(after, {}, 2)
    assert epochs_of(run) == [*epochs, after]


def test_a_training_without_a_state_begins_again(where: str, tmp_path: Path) -> None:
    run = run_of(where, tmp_path)
    run.log(0, {}, 2)
    run.log(1, {}, 2)
    assert run.resume() is None
    run.log(0, {}, 2)
    assert epochs_of(run) == [0]
