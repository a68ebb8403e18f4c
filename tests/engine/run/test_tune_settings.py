"""What Tune sends along with a driver."""

from __future__ import annotations

import os
from typing import Any

import pytest
import ray
from ray import tune

from assay.engine.on_ray.tune_settings import HiddenCredentials, tune_signals_and_output

KEY = "AWS_SECRET_ACCESS_KEY"


class _Tells(tune.Trainable):
    """Tells with which variables its process was started, and of a second one what this process shows."""

    def step(self) -> dict[str, Any]:
        return {"sent": dict(ray.get_runtime_context().runtime_env.get("env_vars", {})), "done": True}


class _Asks(tune.Callback):
    """Notes which steps see the key."""

    def __init__(self) -> None:
        self.seen: list[bool] = []

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.seen.append(KEY in os.environ)


@pytest.mark.ray
@pytest.mark.usefixtures("free_cluster")
def test_a_driver_is_sent_no_secret_and_the_process_keeps_it(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "hunter2")
    hidden, asks, environment = HiddenCredentials(), _Asks(), os.environ
    with tune_signals_and_output():
        grid = tune.Tuner(
            tune.with_resources(_Tells, {"CPU": 1}),
            run_config=tune.RunConfig(storage_path=str(tmp_path), callbacks=[hidden, asks], verbose=0),
            tune_config=tune.TuneConfig(num_samples=2),
        ).fit()
    for result in grid:
        assert result.metrics is not None
        assert KEY not in str(result.metrics["sent"])
    assert asks.seen[0] is False, "the step in which the driver's class is made"
    assert asks.seen[-1] is True, "later steps see all"
    assert os.environ is environment
    assert os.environ[KEY] == "hunter2"


def test_what_is_asked_in_such_a_step_sees_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "hunter2")
    hidden = HiddenCredentials()
    with tune_signals_and_output():
        hidden.on_step_begin(0, [])
        assert KEY not in os.environ
        with hidden.shown():
            assert os.environ[KEY] == "hunter2"
        assert KEY not in os.environ
    assert os.environ[KEY] == "hunter2", "also where the step was left in the midst"
