"""Workers of Ray Train, for trials that several train: every use of Train's internals (2.60), in one file.

Why internals at all. When a Tune trial is stopped or its driver killed, Train's controller and workers die
but their placement group stays, and with it the CPUs: the next packs wait for ever, without a message.
Train's own cleaner needs Ray's dashboard. Here each worker group's placement group carries the id of its
driver, so that whoever comes next (another driver, the process that runs the study) finds and removes it.

Measured on 2 cores (`make bench`): without the two helper actors that are left out below a pack starts
1–3 s sooner and holds 0.4 GB less.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeVar, cast

import ray
from ray import train
from ray._private import state
from ray._raylet import RAY_NODE_ID_KEY  # pyright: ignore[reportAttributeAccessIssue]
from ray.exceptions import GetTimeoutError, RayActorError
from ray.train import FailureConfig
from ray.train.v2._internal.constants import WORKER_GROUP_START_TIMEOUT_S_ENV_VAR
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2._internal.execution.failure_handling.default import DefaultFailurePolicy
from ray.train.v2._internal.execution.scaling_policy import NoopDecision, ResizeDecision, ScalingDecision
from ray.train.v2._internal.execution.scaling_policy.elastic import ElasticScalingPolicy
from ray.train.v2._internal.execution.worker_group.placement_group_handle import (
    DefaultPlacementGroupHandle,
    PlacementGroupHandle,
)
from ray.train.v2._internal.execution.worker_group.worker_group import WorkerGroup
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table
from ray.util.placement_group import remove_placement_group as _remove

from assay.engine.errors import MoreRoomError, NotBegunError
from assay.engine.packs import Pack
from assay.engine.retries import MAX_ATTEMPTS
from assay.engine.room import free_workers
from assay.storage import Store
from trainables.errors import StorageError

__all__ = ["Orphans", "TrainWorkers", "any_placed", "remove_placement_groups", "run_prefix"]

# DatasetManager serves Ray Data, which is not used; PlacementGroupCleaner needs the dashboard (see above).
_LEFT_OUT = {"DatasetsCallback", "PlacementGroupCleanerCallback"}
_ABORT_SECONDS = 20.0
_ROOM_SECONDS = 5.0  # until what lost workers held is free again
_ROOM_LOOK_SECONDS = 0.5
_ROOM_WAIT_SECONDS = 10.0  # for the workers that were asked for, before fewer are
_ORPHANS_SECONDS = 2.0  # between two looks for them

_E = TypeVar("_E", bound=BaseException)


class _NamedWorkerGroup(WorkerGroup):
    """Worker group whose placement group is named after the Train run; its workers inherit variables."""

    def _create_placement_group(self, scaling_config: Any, worker_group_context: Any) -> PlacementGroupHandle:
        group = placement_group(
            bundles=[worker_group_context.resources_per_worker] * worker_group_context.num_workers,
            strategy=worker_group_context.placement_strategy,
            bundle_label_selector=worker_group_context.label_selector,
            # Every worker group of a run (after a worker died) is a new group: names are unique in Ray.
            name=f"{self._train_run_context.run_config.name}/{worker_group_context.run_attempt_id}",
        )
        return DefaultPlacementGroupHandle(group)

    @staticmethod
    def _get_worker_runtime_env(custom_runtime_env: Any) -> Any:
        """Workers have their controller's variables, and it has its driver's: Train would send them again."""
        return custom_runtime_env


class _NamedController(TrainController):
    worker_group_cls = _NamedWorkerGroup

    def _make_and_handle_scaling_decision_for_non_running_worker_group(self, controller_state: Any) -> Any:
        if self._worker_group:  # Ray ends what is left of it later: its room would count as taken
            self._shutdown_worker_group()
        return super()._make_and_handle_scaling_decision_for_non_running_worker_group(controller_state)


class _AsManyAsHaveRoom(ElasticScalingPolicy):
    """As many workers as have room when they start, within the study's limits; at work they stay as many.

    Ray's own policy counts what nodes hold in all, not what is left beside other trials, and ends workers in
    the middle of an epoch to have more.
    """

    _asked = 0  # in the start before this one

    def make_decision_for_non_running_worker_group(self) -> ScalingDecision:
        self._maybe_send_resource_request()
        needs = cast("dict[str, float]", self.scaling_config.resources_per_worker)
        least, most = self.scaling_config.min_workers, self.scaling_config.max_workers
        if self._asked > least:  # they did not get it: what was counted as room was none
            most = self._asked - 1
        until = time.monotonic() + _ROOM_SECONDS
        while (room := free_workers(needs["CPU"], needs.get("GPU", 0))) < most and time.monotonic() < until:
            time.sleep(_ROOM_LOOK_SECONDS)
        self._asked = max(least, min(most, room))
        return ResizeDecision(self._asked, needs)

    def make_decision_for_running_worker_group(self, *args: Any, **kwargs: Any) -> ScalingDecision:
        self._maybe_send_resource_request()
        self._asked = 0
        return NoopDecision()


def _cause(error: BaseException | None, *kinds: type[_E]) -> _E | None:
    """Find an error of some kinds in what Train says of its workers; None when it was something else."""
    failures: dict[int, Any] = getattr(error, "worker_failures", {})
    causes = [getattr(failure, "_base_exc", failure) for failure in failures.values()]
    return next((cause for cause in (error, *causes) if isinstance(cause, kinds)), None)


class _FailurePolicy(DefaultFailurePolicy):
    """Train's own, but for four errors.

    A full disk is full for the next worker too: its attempts would be burnt one after the other. So would all
    attempts by workers that cannot begin a pack. Workers that end because more have room did not fail. Those
    that die while they start, Train would start again without end.
    """

    _deaths = 0  # of starts in a row

    def make_decision(self, training_failed_error: Any) -> FailureDecision:
        trouble = getattr(training_failed_error, "controller_failure", None)
        self._deaths = self._deaths + 1 if isinstance(trouble, WorkerGroupStartupFailedError) else 0
        if self._deaths >= MAX_ATTEMPTS:
            return FailureDecision.RAISE
        if _cause(training_failed_error, StorageError, NotBegunError) is not None:
            return FailureDecision.RAISE
        if _cause(training_failed_error, MoreRoomError) is not None:
            return FailureDecision.RETRY
        return super().make_decision(training_failed_error)


class _PackTrainer(DataParallelTrainer):
    """A trainer that can be aborted and whose placement groups can be found by name."""

    controller: Any = None
    _aborted = False

    def _initialize_and_run_controller(self, **kwargs: Any) -> Any:
        context = ray.get_runtime_context()
        kwargs["failure_policy"] = _FailurePolicy(self.run_config.failure_config or FailureConfig())
        environment: dict[str, Any] = {}
        if self.scaling_config.elasticity_enabled:
            kwargs["scaling_policy"] = _AsManyAsHaveRoom(self.scaling_config)
            variables = {WORKER_GROUP_START_TIMEOUT_S_ENV_VAR: str(_ROOM_WAIT_SECONDS)}
            environment = {"runtime_env": {"env_vars": variables}}
        self.controller = ray.remote(
            num_cpus=0,
            label_selector={RAY_NODE_ID_KEY: context.get_node_id()},
            **environment,
        )(_NamedController).remote(**kwargs)
        if self._aborted:  # asked while the controller was being made
            ray.kill(self.controller)
        ray.get(self.controller.run.remote())
        return ray.get(self.controller.get_result.remote())

    def _create_default_callbacks(self) -> list[Any]:
        return [c for c in super()._create_default_callbacks() if type(c).__name__ not in _LEFT_OUT]

    def abort(self) -> None:
        """Stop workers and controller, and give their CPUs back; harmless when they are gone already."""
        self._aborted = True
        if self.controller is None:
            return
        # The controller ends itself while it answers: a dead actor is the normal reply.
        with suppress(RayActorError, GetTimeoutError):
            ray.get(self.controller.abort.remote(), timeout=_ABORT_SECONDS)
        ray.kill(self.controller)


def _train_packs(config: dict[str, Any]) -> None:
    """Call the worker's ``train_packs``: named here for controllers, which load nothing of it."""
    from assay.engine.train_pack import train_packs

    train_packs(config)


class TrainWorkers:
    """Trains packs on the workers of a Train run, which takes 8 to 20 s to start.

    So it trains the next pack too, where Tune keeps the driver for it: the driver names the pack in an object
    on the storage, and the workers, which wait for it, go on. They report nothing: each ``ray.train.report``
    would cost a poll of the controller, and the records say all there is to say.
    """

    def __init__(self, store: Store, config: dict[str, Any]) -> None:
        """``config``: the driver's."""
        self.error: BaseException | None = None
        self._store, self._config = store, config
        self._thread: threading.Thread | None = None
        self._pack: Pack | None = None

    @property
    def running(self) -> bool:
        """Tell whether workers train, or wait for the next pack."""
        return self._thread is not None and self._thread.is_alive()

    def train(self, pack: Pack) -> None:
        """Hand a pack to the workers, or start some."""
        before, self._pack, self.error = self._pack, pack, None
        if self.running and before is not None:
            self._store.write_bytes(before.next, pack.path.encode())
            return
        _remove_orphans(pack.run.id)
        self._start(pack)

    def is_over(self) -> bool:
        """Tell whether the pack is trained, or went wrong."""
        assert self._pack is not None, "there is a pack"
        return self._store.exists(self._pack.over) or self.error is not None

    def look_after(self) -> None:
        """Remove what others left: groups of a driver that was killed at its start appear after its death."""
        if self._pack is not None:
            _remove_orphans(self._pack.run.id)

    def abort(self) -> None:
        """End the workers, and give their CPUs back."""
        if self._thread is None:
            return
        if self.running:
            self._trainer.abort()
            self._thread.join(_ABORT_SECONDS)
        remove_placement_groups(self._name)

    def _start(self, pack: Pack) -> None:
        from assay.engine.meeting import Meeting  # loads torch

        need = pack.study.resources
        per_worker: dict[str, float] = {"CPU": need.cpus}
        if need.gpus:
            per_worker["GPU"] = need.gpus
        attempts = MAX_ATTEMPTS * (len(pack.trials) + len(pack.stages))
        # The name of an old Train run would resume its state; this one says whose the placement groups are.
        self._name = f"{run_prefix(pack.run.id)}{ray.get_runtime_context().get_actor_id()}-{time.time_ns()}"
        self._trainer = _PackTrainer(
            _train_packs,
            train_loop_config={**self._config, "pack": pack.path, "driver_pid": os.getpid()},
            backend_config=Meeting(),
            scaling_config=train.ScalingConfig(
                num_workers=(need.min_workers, need.workers) if need.min_workers else need.workers,
                use_gpu=need.gpus > 0,
                resources_per_worker=per_worker,
            ),
            run_config=train.RunConfig(
                name=self._name,
                storage_path=self._config["scratch"],
                failure_config=FailureConfig(max_failures=attempts),
            ),
        )
        self._thread = threading.Thread(target=self._fit, daemon=True)
        self._thread.start()

    def _fit(self) -> None:
        try:
            self._trainer.fit()
        except BaseException as error:  # noqa: BLE001 - carried to Tune by the driver, in its own thread
            self.error = _cause(error, StorageError, NotBegunError) or error


class Orphans(Callback):
    """Has the process that runs the study remove placement groups of dead drivers, while a driver waits.

    A driver that dies with its node leaves its workers' group. Ray (2.60) places what a group lost before all
    other groups, and goes on trying where there is no room: no driver that would remove it was ever placed.
    """

    def __init__(self, run: str) -> None:
        self._run, self._looked = run, time.monotonic()

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        waits = any(trial.status == Trial.PENDING for trial in trials)
        if waits and time.monotonic() - self._looked >= _ORPHANS_SECONDS:
            _remove_orphans(self._run)
            self._looked = time.monotonic()


def run_prefix(run: str) -> str:
    """Start of the names of placement groups that an ``assay run`` makes."""
    return f"assay-{run}-"


def any_placed(prefix: str) -> bool:
    """Tell whether a placement group whose name begins with ``prefix`` has its room."""
    groups = placement_group_table().values()
    return any(entry["state"] == "CREATED" and entry["name"].startswith(prefix) for entry in groups)


def remove_placement_groups(prefix: str) -> None:
    """Remove the placement groups whose name begins with ``prefix``."""
    for _, group in _groups(prefix):
        _remove(group)


def _remove_orphans(run: str) -> None:
    """Remove the placement groups of an ``assay run`` whose driver is dead."""
    for name, group in _groups(run_prefix(run)):
        driver = name.removeprefix(run_prefix(run)).partition("-")[0]
        if state.actors(driver).get("State") in (None, "DEAD"):
            _remove(group)


def _groups(prefix: str) -> Iterator[tuple[str, PlacementGroup]]:
    for group_id, entry in placement_group_table().items():
        if entry["state"] != "REMOVED" and entry["name"].startswith(prefix):
            yield entry["name"], PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group_id)))
