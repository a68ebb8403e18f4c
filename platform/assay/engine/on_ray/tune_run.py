"""The batches of a run on Ray: on a cluster that is there or is started here, through a fresh Tuner."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from assay.engine.cluster.cluster import Cluster, cluster
from assay.engine.cluster.ray_connect import last_line
from assay.engine.cluster.same_program import same_on_all_nodes
from assay.engine.interrupts import Ending
from assay.engine.options import End
from assay.engine.order import RunBatches
from assay.engine.retries import DRIVER_RETRIES
from assay.storage import Store
from trainables.errors import StorageError

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

__all__ = ["train_on_ray"]

_PROBLEM_CHARACTERS = 300
_NEWS_SECONDS = 3.0  # that the news of a dead Ray may come later than what Ray says of it


def train_on_ray(batches: RunBatches, ending: Ending) -> End:
    """Train batches as they come, until none comes, on a signal, or when a part of Ray died.

    Raises:
        InputError: If the cluster cannot hold a single trial, or one of its nodes differs from this one.
        StorageError: If the storage is full, read-only or away.
    """
    plan, store, options = batches.plan, batches.store, batches.options
    with cluster(options.cpus, ending, options.on_message) as ray_cluster:
        # A trial that fits on no node is refused before anything is written: Ray would let it wait for ever.
        ray_cluster.refuse_if_too_small(plan.study.resources)
        batches.slots = ray_cluster.follow(plan.study.resources, options.on_message)
        try:
            # A Ray of this run's own has this very program. On other nodes another version may lie, and its
            # results would be compared with ours.
            if not ray_cluster.local:
                options.on_message("comparing the nodes")
                batches.program = same_on_all_nodes(
                    plan.trainables, store, batches.folder, options.data_root, options.on_message
                )
            batches.fill()
            return _tune(batches, ending, ray_cluster)
        finally:
            with suppress(StorageError):  # `assay clean` lists what stays
                store.delete_tree(batches.folder)


def _tune(batches: RunBatches, ending: Ending, ray_cluster: Cluster) -> End:
    """Run the batches through a fresh Tuner."""
    from ray import tune

    from assay.engine.cluster.capacity_watch import NodeWatch, RoomWatch
    from assay.engine.on_ray.driver import COMPLETE, BatchDriver
    from assay.engine.on_ray.pruning import RecordingScheduler, pruner
    from assay.engine.on_ray.searcher import BatchSearcher, StorageStopper
    from assay.engine.on_ray.tune_settings import HiddenCredentials, tune_signals_and_output

    say = batches.options.on_message
    stops = pruner(batches.plan)
    credentials = HiddenCredentials()
    searcher = BatchSearcher(batches, credentials)
    recorder = None if stops is None else RecordingScheduler(stops, batches.store, searcher.give_up)
    batches.watched = stops is not None

    # Batches are made while the run goes on, so the number of Tune's samples is left open: the searcher says
    # when there are no more.
    tuner = tune.Tuner(
        BatchDriver,
        tune_config=tune.TuneConfig(
            metric="value",
            mode=batches.mode,
            num_samples=-1,
            search_alg=searcher,
            scheduler=recorder,
            trial_name_creator=_name_of,
            trial_dirname_creator=_name_of,
        ),
        run_config=tune.RunConfig(
            name=batches.run,
            storage_path=batches.scratch,
            callbacks=[credentials, *([] if ray_cluster.local else [RoomWatch(say), NodeWatch(say)])],
            stop=StorageStopper(searcher),
            verbose=0,
            # Records are the only state. Tune would keep an empty checkpoint of each driver, and break on it
            # when the storage is full.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=DRIVER_RETRIES),
        ),
    )
    try:
        with tune_signals_and_output(), ending.work():
            grid = tuner.fit()
    except KeyboardInterrupt:
        return End(interrupted=ending.lost is None or ending.interrupted, lost=ending.lost)
    except Exception as error:
        if ending.came_within(_NEWS_SECONDS):  # what Tune says then is a consequence
            return End(interrupted=ending.interrupted, lost=ending.lost)
        if not isinstance(error, OSError | EOFError | tune.TuneError):
            raise
        _refuse_unusable(batches.store, searcher.storage_trouble)
        raise
    finally:
        with suppress(StorageError):
            batches.store.delete_tree(f".tune/{batches.run}")

    # Tune may come back as if all were well although a part of Ray has died.
    if ending.lost is not None:
        return End(interrupted=ending.interrupted, lost=ending.lost)
    if searcher.storage_trouble or grid.errors:
        _refuse_unusable(batches.store, searcher.storage_trouble)
    ended = sum(bool((result.metrics or {}).get(COMPLETE)) for result in grid)
    stopped = recorder.stopped if recorder is not None else 0
    return End(
        # Tune swallows Ctrl-C and returns: batches that neither ended nor broke were interrupted, and so were
        # those that were not handed out.
        interrupted=not searcher.over or ended + stopped + len(grid.errors) < batches.written,
        problems=tuple(dict.fromkeys(last_line(error)[:_PROBLEM_CHARACTERS] for error in grid.errors)),
    )


def _name_of(trial: Trial) -> str:
    """Name a Tune trial, and its folder, after the first trial of its batch."""
    return f"{trial.config['name']}-{trial.trial_id}"


def _refuse_unusable(store: Store, trouble: str | None) -> None:
    """Say what is wrong with the storage: Tune keeps files there, and says it less plainly, if at all.

    Raises:
        StorageError: If something was, or is.
    """
    if trouble is not None:
        raise StorageError(trouble)
    store.probe()
