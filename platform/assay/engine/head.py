"""``run_study``: what is missing from a plan is trained, through Ray Tune and Ray Train.

Records are the only state. Each run looks what is missing, divides it into packs and starts a fresh Tuner
over them; nothing of an earlier run is restored. So running again is always right: after Ctrl-C, after any
kill, after the study was extended.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assay.engine.cluster import Cluster, cluster
from assay.engine.packs import Pack, make_packs, missing_trials
from assay.results import Lease, Record, Store
from assay.results.stop import clear_stop, stop_requested
from assay.study import Plan, Trial

__all__ = ["EngineOptions", "Outcome", "run_study"]

_DRIVER_RETRIES = 3  # a killed Tune driver is started again this often
_STOP_POLL_SECONDS = 1.0
_MESSAGE_CHARACTERS = 300


@dataclass(frozen=True)
class EngineOptions:
    """What the surroundings of a run decide; the study decides all else."""

    data_root: Path | None
    cache: Path
    retry_failed: bool = False
    cpus: int | None = None  # of a local Ray; None: all cores
    on_message: Callable[[str], None] = field(default=lambda message: None)


@dataclass(frozen=True)
class Outcome:
    """How many trials of the plan ended how, and what this run did."""

    finished: int
    failed: int
    diverged: int
    pruned: int
    missing: int
    trained_now: int
    interrupted: bool
    seconds: float
    problems: tuple[str, ...] = ()  # packs that broke for another reason than their trials


@dataclass(frozen=True)
class _End:
    """How a Tuner came back."""

    interrupted: bool = False
    problems: tuple[str, ...] = ()


def run_study(plan: Plan, store: Store, options: EngineOptions, scheduler: Any = None) -> Outcome:
    """Train what is missing from ``plan``; returns when nothing is left, or on a signal.

    Args:
        plan: All trials of the study.
        store: Where records lie. A second run of the same study is refused while one is at work.
        options: Data root, caches, and how to treat failed trials.
        scheduler: A Tune scheduler that may stop packs early on ``value`` over ``repeats``.

    Raises:
        InputError: If the study is running already, or the cluster cannot hold a single trial.
    """
    start = time.monotonic()
    study = plan.study.study
    with Lease(store, study) as lease:
        clear_stop(store, "study", study)
        for trial in plan.trials:
            clear_stop(store, "trial", trial.id)
        if options.retry_failed:
            _forget_failed(plan, store)
        missing = missing_trials(plan.trials, store.records(t.id for t in plan.trials))
        end = _End()
        if missing:
            end = _train(plan, store, options, missing, scheduler=scheduler, lease=lease)
        records = store.records(trial.id for trial in plan.trials)
        still = missing_trials(missing, records)
    count = [record.status for record in records.values()].count
    return Outcome(
        finished=count("finished"),
        failed=count("failed"),
        diverged=count("diverged"),
        pruned=count("pruned"),
        missing=len(plan.trials) - len(records),
        trained_now=len(missing) - len(still),
        interrupted=end.interrupted,
        seconds=time.monotonic() - start,
        problems=end.problems,
    )


def _forget_failed(plan: Plan, store: Store) -> None:
    for record in store.records(trial.id for trial in plan.trials).values():
        if record.status == "failed":
            store.delete_tree(f"{store.trial(record.id)}/record.json")


def _train(
    plan: Plan,
    store: Store,
    options: EngineOptions,
    missing: Sequence[Trial],
    *,
    scheduler: Any,
    lease: Lease,
) -> _End:
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}"
    options.on_message("starting Ray")
    with cluster(options.cpus) as ray_cluster:
        slots = ray_cluster.slots(plan.study.resources)
        packs = _lay_down(plan, store, options, make_packs(missing, plan.study.resources.pack, slots), run)
        options.on_message(
            f"{len(missing)} of {len(plan.trials)} trials to train in {len(packs)} packs, "
            f"{min(slots, len(packs))} at a time"
        )
        try:
            with _stop_on_request(store, plan.study.study, lease):
                return _tune(packs, store, run=run, where=ray_cluster, slots=slots, scheduler=scheduler)
        finally:
            from assay.engine.driver import placement_prefix
            from assay.engine.train import remove_placement_groups

            remove_placement_groups(placement_prefix(run))
            store.delete_tree(f"{store.study(plan.study.study)}/packs/{run}")


def _lay_down(
    plan: Plan, store: Store, options: EngineOptions, packs: Sequence[Sequence[Trial]], run: str
) -> list[Pack]:
    study, now = plan.study, datetime.now(UTC)
    laid: list[Pack] = []
    for number, trials in enumerate(packs):
        pack = Pack(
            id=f"{number:04d}",
            study=study.study,
            run=run,
            started=now,
            trials=tuple(trials),
            workers=study.resources.workers,
            cpus=study.resources.cpus,
            gpus=study.resources.gpus,
            keep_models=study.keep.models != "none",
            probes=study.keep.probes,
            primary=study.metrics.primary,
            data_root=str(options.data_root.resolve()) if options.data_root else None,
            cache=str(options.cache.resolve()),
        )
        pack.write(store)
        laid.append(pack)
    return laid


def _tune(
    packs: Sequence[Pack], store: Store, *, run: str, where: Cluster, slots: int, scheduler: Any
) -> _End:
    """Run the packs through a fresh Tuner."""
    from ray import tune

    from assay.engine.driver import COMPLETE, PackDriver
    from assay.engine.pruning import NotingScheduler
    from assay.engine.searcher import PackSearcher

    scratch = _scratch(store, run)
    pruner = NotingScheduler(scheduler) if scheduler is not None else None
    configs = [{"storage": store.uri, "pack": pack.path, "scratch": scratch} for pack in packs]
    tuner = tune.Tuner(
        tune.with_resources(PackDriver, where.driver_resources),
        tune_config=tune.TuneConfig(
            metric="value",
            mode="max",
            num_samples=-1,
            search_alg=PackSearcher(configs),
            scheduler=pruner,
            max_concurrent_trials=slots,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=run,
            storage_path=scratch,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=_DRIVER_RETRIES),
        ),
    )
    try:
        with _quiet_tune():
            grid = tuner.fit()
    finally:
        store.delete_tree(f".tune/{run}")
    if pruner is not None:
        _record_pruned(store, [pack for pack in packs if pack.path in pruner.stopped])
    ended = sum(bool((result.metrics or {}).get(COMPLETE)) for result in grid)
    stopped = len(pruner.stopped) if pruner is not None else 0
    return _End(
        # Tune swallows Ctrl-C and returns: packs that neither ended nor broke were interrupted.
        interrupted=ended + stopped + len(grid.errors) < len(packs),
        problems=tuple(dict.fromkeys(_in_a_line(error) for error in grid.errors)),
    )


def _scratch(store: Store, run: str) -> str:
    """Tune's own folder: deleted at the end, a new one for each run, on storage that all nodes see."""
    path, mark, query = store.uri.partition("?")  # an object store's options follow its path
    return f"{path.rstrip('/')}/.tune/{run}{mark}{query}"


def _in_a_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:_MESSAGE_CHARACTERS]


@contextmanager
def _quiet_tune() -> Generator[None]:
    """Tune and its callbacks log to the terminal; what a user should know is in records and logs."""
    import logging

    names = ("ray.tune", "ray.train", "ray")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _stop_on_request(store: Store, study: str, lease: Lease) -> Generator[None]:
    """Turn a stop request on the storage, or a lease that another run took over, into what Ctrl-C does."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_STOP_POLL_SECONDS):
            try:
                asked = stop_requested(store, "study", study)
            except OSError:
                asked = False  # the storage is away for a moment: the next look will tell
            if asked or lease.lost.is_set():
                os.kill(os.getpid(), signal.SIGINT)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _record_pruned(store: Store, packs: Sequence[Pack]) -> None:
    now = datetime.now(UTC)
    for pack in packs:
        records = store.records(trial.id for trial in pack.trials)
        for trial in missing_trials(pack.trials, records):
            store.write_record(
                Record(
                    id=trial.id,
                    status="pruned",
                    reason=f"stopped by the pruner after {len(records)} of {len(pack.trials)} repeats",
                    trial=trial.model_dump(mode="json"),
                    study=pack.study,
                    started=now,
                    ended=now,
                )
            )
