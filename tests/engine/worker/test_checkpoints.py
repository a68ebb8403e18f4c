"""A training's state between two attempts: whole, whatever its tensors are, and readable without torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors
import torch
from torch import Tensor

from assay.engine.worker.trial_log import StoredLog
from assay.storage import Environment
from tests.engine.toy_study import ToyStudy

ROWS = torch.arange(12, dtype=torch.float32).reshape(3, 4)


def log_of(study: ToyStudy) -> StoredLog:
    """Of a new attempt at the study's first trial."""
    trial = study.plan.trials[0]
    return StoredLog(trial, study.store, study.store.begin_attempt(trial.id, Environment()))


@pytest.fixture
def study(tmp_path: Path, cache_root: Path) -> ToyStudy:
    return ToyStudy.make(tmp_path, cache_root, seeds=(0,))


@pytest.mark.parametrize(
    "tensors",
    [
        {"half": torch.tensor([0.1, -3.0], dtype=torch.bfloat16), "count": torch.tensor(3)},
        {"rows": ROWS, "the same": ROWS, "some of them": ROWS[1:], "turned": ROWS.T},
        {"learnt": torch.nn.Parameter(ROWS), "none": torch.zeros(0, 5)},
        {},
    ],
    ids=["types of torch alone", "one memory under several names", "gradients and no values", "nothing"],
)
def test_a_state_comes_back_as_it_was_kept(study: ToyStudy, tensors: dict[str, Tensor]) -> None:
    first = log_of(study)
    first.log(0, {"loss": 0.5}, 3)
    first.checkpoint(1, tensors, {"best": 0.25, "name": "größer"})
    later = log_of(study)
    state = later.resume()
    assert state is not None
    assert (state.epoch, state.meta) == (1, {"best": 0.25, "name": "größer"})
    assert later.history == first.history
    assert state.tensors.keys() == tensors.keys()
    for name, kept in tensors.items():
        assert state.tensors[name].dtype == kept.dtype
        assert torch.equal(state.tensors[name], kept.detach())


def test_a_checkpoint_is_a_file_that_others_read(study: ToyStudy) -> None:
    log_of(study).checkpoint(2, {"rows": ROWS}, {"step": 7})
    (path,) = Path(study.storage).rglob("checkpoint.safetensors")
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"epoch": "2", "meta": '{"step": 7}', "history": "[]"}
        assert file.get_tensor("rows").tolist() == ROWS.tolist()


def test_without_a_checkpoint_training_begins_anew(study: ToyStudy) -> None:
    assert log_of(study).resume() is None
