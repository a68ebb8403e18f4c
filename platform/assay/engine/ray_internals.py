"""Parts of Ray that are not its public interface and that the engine uses, each by name.

``python -m assay.engine.ray_internals`` names those that the installed Ray no longer has (exit code 1), and
so does `assay doctor`: a release of Ray that moves one breaks the engine in a place that says nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from inspect import signature
from typing import Any, NamedTuple

__all__ = ["INTERNALS", "Internal", "moved"]

_TRAIN = "ray.train.v2._internal"


class Internal(NamedTuple):
    """One name, and the parameters with which it is called or overridden."""

    module: str
    name: str  # with a dot: an attribute of a class
    parameters: tuple[str, ...] = ()

    @property
    def problem(self) -> str | None:
        """The fault of the installed Ray; None: it has this as it was."""
        path = f"{self.module}.{self.name}"
        try:
            part: Any = import_module(self.module)
        except ImportError as error:
            return f"{path}: no module {self.module} ({error})"
        for name in self.name.split("."):
            if not hasattr(part, name):
                return f"{path}: {name} is gone"
            part = getattr(part, name)
        lacking = [name for name in self.parameters if name not in signature(part).parameters]
        return f"{path}: takes no {', '.join(lacking)} any more" if lacking else None


INTERNALS = (
    Internal("ray._private.state", "actors"),
    Internal("ray._private.state", "state.available_resources_per_node"),
    Internal("ray._raylet", "RAY_NODE_ID_KEY"),
    Internal(f"{_TRAIN}.constants", "WORKER_GROUP_START_TIMEOUT_S_ENV_VAR"),
    Internal(f"{_TRAIN}.exceptions", "WorkerGroupStartupFailedError"),
    Internal(f"{_TRAIN}.execution.controller", "TrainController.worker_group_cls"),
    Internal(
        f"{_TRAIN}.execution.controller",
        "TrainController._make_and_handle_scaling_decision_for_non_running_worker_group",
        ("controller_state",),
    ),
    Internal(f"{_TRAIN}.execution.controller", "TrainController._shutdown_worker_group"),
    Internal(f"{_TRAIN}.execution.controller", "TrainController.abort"),
    Internal(f"{_TRAIN}.execution.controller", "TrainController.run"),
    Internal(f"{_TRAIN}.execution.controller", "TrainController.get_result"),
    Internal(f"{_TRAIN}.execution.failure_handling", "FailureDecision.RAISE"),
    Internal(
        f"{_TRAIN}.execution.failure_handling.default",
        "DefaultFailurePolicy.make_decision",
        ("training_failed_error",),
    ),
    Internal(f"{_TRAIN}.execution.failure_handling", "FailureDecision.RETRY"),
    Internal(f"{_TRAIN}.execution.scaling_policy", "NoopDecision"),
    Internal(f"{_TRAIN}.execution.scaling_policy", "ResizeDecision", ("num_workers", "resources_per_worker")),
    Internal(f"{_TRAIN}.execution.scaling_policy", "ScalingDecision"),
    *(
        Internal(f"{_TRAIN}.execution.scaling_policy.elastic", f"ElasticScalingPolicy.{name}")
        for name in (
            "_maybe_send_resource_request",
            "make_decision_for_non_running_worker_group",
            "make_decision_for_running_worker_group",
        )
    ),
    Internal(f"{_TRAIN}.execution.worker_group.placement_group_handle", "DefaultPlacementGroupHandle"),
    Internal(f"{_TRAIN}.execution.worker_group.placement_group_handle", "PlacementGroupHandle"),
    Internal(
        f"{_TRAIN}.execution.worker_group.worker_group",
        "WorkerGroup._create_placement_group",
        ("scaling_config", "worker_group_context"),
    ),
    Internal(
        f"{_TRAIN}.execution.worker_group.worker_group",
        "WorkerGroup._get_worker_runtime_env",
        ("custom_runtime_env",),
    ),
    *(
        Internal("ray.train.v2.api.data_parallel_trainer", f"DataParallelTrainer.{name}")
        for name in ("_initialize_and_run_controller", "_create_default_callbacks")
    ),
    Internal("ray.tune.execution.class_cache", "DEFAULT_ENV_VARS"),
    Internal("ray.tune.execution.class_cache", "ENV_VARS_TO_PROPAGATE"),
    *(
        Internal("ray.tune.execution.tune_controller", f"TuneController.{name}", parameters)
        for name, parameters in (
            ("_set_trial_status", ("trial", "status")),
            ("_trial_task_failure", ("trial", "exception")),
            ("_unstage_trial_with_resources", ("trial",)),
        )
    ),
)


def moved() -> list[str]:
    """Those that the installed Ray no longer has, with what is wrong."""
    return [problem for internal in INTERNALS if (problem := internal.problem) is not None]


if __name__ == "__main__":
    problems = moved()
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    sys.exit(bool(problems))
