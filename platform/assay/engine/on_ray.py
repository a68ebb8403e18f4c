"""The packs of a run on Ray: on a cluster that is there or is started here, through a fresh Tuner."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from assay.engine.cluster import Cluster, cluster, driver_resources
from assay.engine.interrupts import Ending
from assay.engine.nodes import same_on_all_nodes
from assay.engine.options import End
from assay.engine.order import RunPacks
from assay.engine.ray_connect import briefly, last_line
from assay.engine.retries import DRIVER_RETRIES
from assay.engine.tune_manners import manners
from assay.storage import Store
from trainables.errors import StorageError

if TYPE_CHECKING:
    from ray import tune

__all__ = ["train_on_ray"]

_RELEASE_SECONDS = 10.0  # for the placement groups on a cluster of others
_PROBLEM_CHARACTERS = 300
_NEWS_SECONDS = 3.0  # that the news of a dead Ray may come later than what Ray says of it


def train_on_ray(packs: RunPacks, ending: Ending) -> End:
    """Train packs as they come, until none comes, on a signal, or when a part of Ray died.

    Raises:
        InputError: If the cluster cannot hold a single trial, or one of its nodes differs from this one.
        StorageError: If the storage is full, read-only or away.
    """
    plan, store, options = packs.plan, packs.store, packs.options
    with cluster(options.cpus, ending, options.on_message) as ray_cluster:
        ray_cluster.refuse_if_too_small(plan.study.resources)
        packs.slots = ray_cluster.follow(plan.study.resources, options.on_message)
        try:
            if not ray_cluster.local:
                options.on_message("comparing the nodes")
                packs.program = same_on_all_nodes(
                    plan.trainables, store, packs.folder, options.data_root, options.on_message
                )
            packs.fill()
            return _tune(packs, ending, ray_cluster)
        finally:
            if not (ray_cluster.ends_with_us or ending.lost) and plan.study.resources.workers > 1:
                from assay.engine.train import remove_placement_groups, run_prefix

                briefly(lambda: remove_placement_groups(run_prefix(packs.run)), _RELEASE_SECONDS)
            with suppress(StorageError):  # `assay clean` lists what stays
                store.delete_tree(packs.folder)


def _tune(packs: RunPacks, ending: Ending, ray_cluster: Cluster) -> End:
    """Run the packs through a fresh Tuner."""
    from ray import tune

    from assay.engine.driver import COMPLETE, PackDriver
    from assay.engine.pruning import RecordingScheduler, pruner
    from assay.engine.searcher import PackSearcher, StorageStopper

    stops = pruner(packs.plan)
    searcher = PackSearcher(packs)
    recorder = None if stops is None else RecordingScheduler(stops, packs.store, searcher.give_up)
    # A driver that is kept for the next pack is not cleaned up, and a stopped pack would train on.
    packs.keeps_drivers = stops is None
    tuner = tune.Tuner(
        tune.with_resources(PackDriver, driver_resources(packs.plan.study.resources)),
        tune_config=tune.TuneConfig(
            metric="value",
            mode=packs.mode,
            num_samples=-1,
            search_alg=searcher,
            scheduler=recorder,
            reuse_actors=packs.keeps_drivers,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=packs.run,
            storage_path=packs.scratch,
            callbacks=_callbacks(packs, ray_cluster),
            stop=StorageStopper(searcher),
            verbose=0,
            # Records are the only state. Tune would keep an empty checkpoint of each driver, and break on it
            # when the storage is full.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=DRIVER_RETRIES),
        ),
    )
    try:
        with manners(ray_cluster.has_settings), ending.work():
            grid = tuner.fit()
    except KeyboardInterrupt:
        return End(interrupted=ending.lost is None or ending.interrupted, lost=ending.lost)
    except Exception as error:
        if ending.came_within(_NEWS_SECONDS):  # what Tune says then is a consequence
            return End(interrupted=ending.interrupted, lost=ending.lost)
        if not isinstance(error, OSError | EOFError | tune.TuneError):
            raise
        _refuse_unusable(packs.store, searcher.storage_trouble)
        raise
    finally:
        with suppress(StorageError):
            packs.store.delete_tree(f".tune/{packs.run}")
    if ending.lost is not None:
        return End(interrupted=ending.interrupted, lost=ending.lost)
    if searcher.storage_trouble or grid.errors:
        _refuse_unusable(packs.store, searcher.storage_trouble)
    ended = sum(bool((result.metrics or {}).get(COMPLETE)) for result in grid)
    stopped = recorder.stopped if recorder is not None else 0
    return End(
        # Tune swallows Ctrl-C and returns: packs that neither ended nor broke were interrupted, and so were
        # those that were not handed out.
        interrupted=not searcher.over or ended + stopped + len(grid.errors) < packs.written,
        problems=tuple(dict.fromkeys(last_line(error)[:_PROBLEM_CHARACTERS] for error in grid.errors)),
    )


def _callbacks(packs: RunPacks, ray_cluster: Cluster) -> list[tune.Callback]:
    """Looks at drivers and workers that wait for room, and at nodes."""
    from assay.engine.room_watch import NodeWatch, RoomWatch

    say = packs.options.on_message
    if packs.plan.study.resources.workers == 1:
        return [] if ray_cluster.local else [RoomWatch(say), NodeWatch(say)]
    from assay.engine.train import Orphans, any_placed, run_prefix

    placed = partial(any_placed, run_prefix(packs.run))
    watches = [] if ray_cluster.local else [RoomWatch(say, placed), NodeWatch(say)]
    return [*watches, Orphans(packs.run)]


def _refuse_unusable(store: Store, trouble: str | None) -> None:
    """Say what is wrong with the storage: Tune keeps files there, and says it less plainly, if at all.

    Raises:
        StorageError: If something was, or is.
    """
    if trouble is not None:
        raise StorageError(trouble)
    store.probe()
