"""Every use of Ray's internals (2.60), in one file: named placement groups, abort, a leaner start, no keys.

Why internals at all. When a Tune trial is stopped or its driver killed, Train's controller and workers die
but their placement group stays, and with it the CPUs: the next packs wait for ever, without a message.
Train's own cleaner needs Ray's dashboard. Here each worker group's placement group carries the id of its
driver, so that whoever comes next (another driver, the process that runs the study) finds and removes it.

Measured on 2 cores (`make bench`): without the two helper actors that are left out below a pack starts
1–3 s sooner and holds 0.4 GB less.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import ray
from ray._private import state
from ray._raylet import RAY_NODE_ID_KEY  # pyright: ignore[reportAttributeAccessIssue]
from ray.exceptions import GetTimeoutError, RayActorError
from ray.train import FailureConfig
from ray.train.v2._internal.constants import get_env_vars_to_propagate
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2._internal.execution.failure_handling.default import DefaultFailurePolicy
from ray.train.v2._internal.execution.worker_group.placement_group_handle import (
    DefaultPlacementGroupHandle,
    PlacementGroupHandle,
)
from ray.train.v2._internal.execution.worker_group.worker_group import WorkerGroup
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.tune.execution import class_cache
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table
from ray.util.placement_group import remove_placement_group as _remove

from trainables.errors import StorageError

__all__ = [
    "PackTrainer",
    "keep_secrets_here",
    "new_name",
    "remove_orphans",
    "remove_placement_groups",
    "run_prefix",
    "storage_error",
]

# DatasetManager serves Ray Data, which is not used; PlacementGroupCleaner needs the dashboard (see above).
_LEFT_OUT = {"DatasetsCallback", "PlacementGroupCleanerCallback"}


class _NamedWorkerGroup(WorkerGroup):
    """Worker group whose placement group is named after the Train run."""

    def _create_placement_group(self, scaling_config: Any, worker_group_context: Any) -> PlacementGroupHandle:
        group = placement_group(
            bundles=[worker_group_context.resources_per_worker] * worker_group_context.num_workers,
            strategy=worker_group_context.placement_strategy,
            bundle_label_selector=worker_group_context.label_selector,
            # Every worker group of a run (after a worker died) is a new group: names are unique in Ray.
            name=f"{self._train_run_context.run_config.name}/{worker_group_context.run_attempt_id}",
        )
        return DefaultPlacementGroupHandle(group)


class _NamedController(TrainController):
    worker_group_cls = _NamedWorkerGroup


def keep_secrets_here() -> None:
    """Tune would send this process's AWS keys along with each driver, and Ray logs what is sent in the clear.

    A Ray that is started here inherits them; nodes of another cluster need credentials of their own.
    """
    names = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in names if not name.startswith("AWS_")}


def storage_error(error: BaseException | None) -> StorageError | None:
    """Find a worker's trouble with the storage in an error of Train; None when it was something else."""
    failures: dict[int, Any] = getattr(error, "worker_failures", {})
    causes = [getattr(failure, "_base_exc", failure) for failure in failures.values()]
    return next((cause for cause in (error, *causes) if isinstance(cause, StorageError)), None)


class _NoRetryOnStorage(DefaultFailurePolicy):
    """A full disk is full for the next worker too: its attempts would be burnt one after the other."""

    def make_decision(self, training_failed_error: Any) -> FailureDecision:
        if storage_error(training_failed_error) is not None:
            return FailureDecision.RAISE
        return super().make_decision(training_failed_error)


class PackTrainer(DataParallelTrainer):
    """A trainer that can be aborted and whose placement groups can be found by name."""

    controller: Any = None
    _aborted = False

    def _initialize_and_run_controller(self, **kwargs: Any) -> Any:
        context = ray.get_runtime_context()
        kwargs["failure_policy"] = _NoRetryOnStorage(self.run_config.failure_config or FailureConfig())
        variables = dict(get_env_vars_to_propagate(), RAY_WARN_BLOCKING_GET_INSIDE_ASYNC="0")
        self.controller = ray.remote(
            num_cpus=0,
            label_selector={RAY_NODE_ID_KEY: context.get_node_id()},
            runtime_env={"env_vars": variables},
        )(_NamedController).remote(**kwargs)
        if self._aborted:  # asked while the controller was being made
            ray.kill(self.controller)
        ray.get(self.controller.run.remote())
        return ray.get(self.controller.get_result.remote())

    def _create_default_callbacks(self) -> list[Any]:
        return [c for c in super()._create_default_callbacks() if type(c).__name__ not in _LEFT_OUT]

    def abort(self, timeout: float = 20.0) -> None:
        """Stop workers and controller, and give their CPUs back; harmless when they are gone already."""
        self._aborted = True
        if self.controller is None:
            return
        # The controller ends itself while it answers: a dead actor is the normal reply.
        with suppress(RayActorError, GetTimeoutError):
            ray.get(self.controller.abort.remote(), timeout=timeout)
        ray.kill(self.controller)


def run_prefix(run: str) -> str:
    """Start of the names of placement groups that an ``assay run`` makes."""
    return f"assay-{run}-"


def new_name(run: str) -> str:
    """A name for a Train run of the calling driver, and for its placement groups: it says whose they are."""
    return f"{run_prefix(run)}{ray.get_runtime_context().get_actor_id()}-{time.time_ns()}"


def remove_placement_groups(prefix: str) -> None:
    """Remove the placement groups whose name begins with ``prefix``."""
    for _, group in _groups(prefix):
        _remove(group)


def remove_orphans(run: str) -> None:
    """Remove the placement groups of an ``assay run`` whose driver is dead."""
    for name, group in _groups(run_prefix(run)):
        driver = name.removeprefix(run_prefix(run)).partition("-")[0]
        if state.actors(driver).get("State") in (None, "DEAD"):
            _remove(group)


def _groups(prefix: str) -> Iterator[tuple[str, PlacementGroup]]:
    for group_id, entry in placement_group_table().items():
        if entry["state"] != "REMOVED" and entry["name"].startswith(prefix):
            yield entry["name"], PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group_id)))
