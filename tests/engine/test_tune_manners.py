"""What Tune sends along with a driver."""

from __future__ import annotations

import pytest
from ray.tune.execution import class_cache

from assay.engine.driver import PackDriver
from assay.engine.tune_manners import no_variables_sent


@pytest.mark.parametrize(
    ("has_settings", "sent"),
    [(True, {}), (False, {"RAY_CHDIR_TO_TRIAL_DIR": "0"})],
    ids=["ours", "of others"],
)
def test_a_driver_is_sent_no_secret_and_nothing_that_rays_processes_have(
    has_settings: bool, sent: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in class_cache.ENV_VARS_TO_PROPAGATE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    before = set(class_cache.ENV_VARS_TO_PROPAGATE)
    with no_variables_sent(has_settings):
        options = class_cache._ActorClassCache().get(PackDriver)._default_options
    assert options["runtime_env"].get("env_vars", {}) == sent
    assert before == class_cache.ENV_VARS_TO_PROPAGATE
