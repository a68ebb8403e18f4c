"""``assay run --local``: batches on this machine without Ray, trained in processes of their own or in this
one.

The same plan, batches, worker and records as on Ray, so either goes on with what the other began. A thread
for each slot hands its trials to a training process, one after the other. What needs Ray is refused by name.
"""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from assay.engine.interrupts import Ending
from assay.engine.options import End
from assay.engine.order import RunBatches
from assay.engine.process.fork_server import ForkServer
from assay.engine.trial_batch import TrialBatch
from assay.engine.worker.train_trials import train_trials, trainer_of
from assay.engine.worker.worker import BatchWorker, trainer_here
from assay.storage import Store
from assay.study import Plan
from trainables.errors import InputError, StorageError

if TYPE_CHECKING:  # it imports Ray, which takes seconds
    from assay.engine.on_ray.pruning import LocalPruner

__all__ = ["local_slots", "train_locally"]

_POLL_SECONDS = 0.2


def local_slots(plan: Plan, cpus: int | None, processes: int | None) -> int:
    """Number of training processes at once; 0: trials train in this process, one after the other.

    Args:
        plan: Whose study says what a trial needs.
        cpus: Cores that may be used; None: all.
        processes: As the user wishes; None: as many as cores and GPUs allow.

    Raises:
        InputError: If the study asks for what only Ray can do, or for more than this machine has.
    """
    resources = plan.study.resources

    # What only Ray can do comes first: no number of cores would help.
    if resources.workers > 1:
        raise InputError(
            "`--local` trains each trial with one worker: several exchange gradients through Ray, found "
            f"resources.workers {resources.workers}. Leave out --local, or set it to 1."
        )
    if resources.gpus != int(resources.gpus):
        raise InputError(
            f"`--local` gives a trial whole GPUs: Ray divides them, found resources.gpus {resources.gpus:g}. "
            "Leave out --local, or set it to 0 or 1."
        )
    if plan.pruned_by == "epochs":
        raise InputError(
            "`--local` trains every trial to its end: pruning by epochs is Ray's, found a search.pruner and "
            "one repeat in a batch. Leave out --local or the pruner, or add seeds: then repeats are pruned."
        )

    # Then room is counted. A trial holds its cores, and its GPUs where it asks for any.
    cores = cpus or len(os.sched_getaffinity(0))
    slots = cores // resources.cpus
    needs, offers = f"{resources.cpus} CPU(s)", f"{cores} CPU(s)"
    if resources.gpus:
        import torch  # a second, which studies on CPUs need not wait for

        gpus = torch.cuda.device_count()
        slots = min(slots, gpus // int(resources.gpus))
        needs, offers = f"{needs} and {resources.gpus:g} GPU(s)", f"{offers} and {gpus} GPU(s)"
    if slots < 1:
        raise InputError(
            f"a trial needs {needs}, but this machine offers {offers}. Lower resources.cpus or gpus in "
            "the study, or raise --cpus."
        )
    if processes == 0:
        return 0
    return slots if processes is None else min(slots, processes)


def train_locally(batches: RunBatches, ending: Ending) -> End:
    """Train batches as they come, until none comes or on Ctrl-C.

    Raises:
        InputError: As :func:`local_slots`.
        StorageError: If the storage is full, read-only or away.
    """
    store = batches.store
    slots = local_slots(batches.plan, batches.options.cpus, batches.options.processes)
    batches.slots = lambda: max(1, slots)
    batches.fill()
    stop = threading.Event()

    # A thread per slot waits for a training, which runs in a process of its own, forked where torch is loaded
    # already. Without slots trials train here.
    with (
        ending.work(),
        ForkServer() if slots else nullcontext() as server,
        ThreadPoolExecutor(max(1, slots), thread_name_prefix="assay-local") as threads,
    ):
        trainer = _BatchTrainer(store, server, stop, _pruner(batches))
        try:
            if slots:
                return End(problems=_hand_out(batches, trainer, threads, slots))
            for tasks in filter(None, batches.upcoming):  # in this thread, where a debugger is
                trainer.train(batches.make_batch(tasks), slot=0)
            return End()
        except KeyboardInterrupt:
            return End(interrupted=True)
        finally:
            # The stop comes first, because leaving the block waits for the threads: they see it, and the
            # server ends the processes that they wait for.
            stop.set()
            if server is not None:
                server.stop()


def _pruner(batches: RunBatches) -> LocalPruner | None:
    if batches.plan.pruned_by is None:
        return None
    from assay.engine.on_ray.pruning import LocalPruner, pruner

    rules = pruner(batches.plan)
    return None if rules is None else LocalPruner(rules, batches.mode, batches.store)


def _hand_out(
    batches: RunBatches, trainer: _BatchTrainer, threads: ThreadPoolExecutor, slots: int
) -> tuple[str, ...]:
    """Keep all slots busy; returns problems of batches in a line each."""
    running: dict[Future[None], tuple[set[str], int]] = {}
    free = list(range(slots))
    problems: list[str] = []
    over = False
    while running or not over:
        # Slots are filled before anything is waited for. None means that the next batch depends on what is
        # training now; an empty one, that no more come.
        tasks = None
        if free and not over:
            tasks = next(batches.upcoming, ())
            over = tasks == ()
        if tasks:
            ids, slot = {entry.id for entry in tasks}, free.pop()
            batches.in_flight |= ids
            running[threads.submit(trainer.train, batches.make_batch(tasks), slot)] = (ids, slot)
            continue

        # A batch that is over has written its records. Only then its ids leave `in_flight`, by which rounds
        # and searches see that they can go on.
        done, _ = wait(running, _POLL_SECONDS, FIRST_COMPLETED)
        for future in done:
            ids, slot = running.pop(future)
            batches.in_flight -= ids
            free.append(slot)
            error = future.exception()

            # Every batch would meet the same trouble with the storage, so it ends the run. Any other error
            # costs its own batch.
            if isinstance(error, StorageError):
                raise error
            if error is not None:
                problems.append(f"{type(error).__name__}: {error}".splitlines()[0])
    return tuple(dict.fromkeys(problems))


class _BatchTrainer:
    """Trains batches, each in the calling thread."""

    def __init__(
        self, store: Store, server: ForkServer | None, stop: threading.Event, pruner: LocalPruner | None
    ) -> None:
        """``server``: of training processes; None: methods train in this one."""
        self._store, self._server, self._stop, self._pruner = store, server, stop, pruner

    def train(self, batch: TrialBatch, slot: int) -> None:
        """Train what has no record of ``batch``; ``slot`` says on which GPU, if any."""
        server, gpus = self._server, batch.study.resources.gpus
        trainer = trainer_here() if server is None else trainer_of(batch, self._store, server, self._stop)
        worker = BatchWorker(
            batch,
            self._store,
            rank=0,
            world_size=1,
            node=socket.gethostname(),
            driver_pid=os.getpid(),
            device=f"cuda:{slot * int(gpus)}" if gpus else "cpu",
            trainer=trainer,
            stop=self._stop,
            falls_behind=bool if self._pruner is None else partial(self._pruner.stops, batch),
        )
        train_trials(worker)
