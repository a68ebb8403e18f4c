"""What a method tells its run is held to the same rules in a notebook and in a study."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from assay.engine.journal import StorageJournal
from assay.engine.train_run import TrainRun
from assay.storage import Environment, Store
from tests.engine.two_workers import trial_of
from trainables.contract import LocalRun, Run
from trainables.errors import InputError
from trainables.segdec import SegDecConfig

STATE = {"weight": torch.zeros(1)}


def run_of(where: str, folder: Path) -> Run:
    if where == "notebook":
        return LocalRun(folder=folder)
    trial, store = trial_of("segdec", SegDecConfig(image_size=(128, 64))), Store(folder)
    journal = StorageJournal(trial, store, store.begin_attempt(trial.id, Environment()))
    return TrainRun(journal, seed=0, fold=None, device=torch.device("cpu"))


@pytest.fixture(params=["notebook", "study"])
def where(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("epoch", [-1, 0, 1, 4])
def test_an_epoch_is_logged_once_and_in_order(where: str, tmp_path: Path, epoch: int) -> None:
    run = run_of(where, tmp_path)
    run.log(0, {}, 4)
    run.log(1, {}, 4)
    with pytest.raises(
        InputError, match=rf"each epoch once, .* from 0 to 3, found {epoch} after epoch 1\. Mend"
    ):
        run.log(epoch, {}, 4)
    run.log(3, {}, 4)


@pytest.mark.parametrize("name", ["", "a\nb", "\udcff", "epoch", "seconds", "time"])
def test_a_metric_has_a_name_of_its_own(where: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"a metric of run\.log has a name .*, found .*\. Rename it"):
        run_of(where, tmp_path).log(0, {"loss": 1.0, name: 7.0}, 1)


@pytest.mark.parametrize("logged", [(), (0,)])
def test_the_state_after_an_epoch_is_kept_once_that_is_logged(
    where: str, tmp_path: Path, logged: tuple[int, ...]
) -> None:
    run = run_of(where, tmp_path)
    for epoch in logged:
        run.log(epoch, {}, 4)
    with pytest.raises(
        InputError, match=rf"found 2 finished epochs and {len(logged)} logged\. Call run\.log"
    ):
        run.checkpoint(2, STATE, {})


def test_a_training_that_goes_on_logs_the_next_epoch(where: str, tmp_path: Path) -> None:
    run = run_of(where, tmp_path)
    run.log(0, {}, 4)
    run.checkpoint(1, STATE, {})
    run.log(1, {}, 4)  # and is ended before it keeps its state
    for again in (run, run_of(where, tmp_path)):
        assert again.resume() is not None
        again.log(1, {}, 4)
