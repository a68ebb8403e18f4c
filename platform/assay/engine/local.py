"""``assay run --local``: packs on this machine without Ray, trained in processes of their own or in this one.

The same plan, packs, worker and records as on Ray, so either goes on with what the other began. A thread for
each slot hands its trials to a training process, one after the other. What needs Ray is refused by name.
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
from assay.engine.order import RunPacks
from assay.engine.packs import Pack
from assay.engine.process.fork_server import ForkServer
from assay.engine.worker.train_pack import train_trials, trainer_of
from assay.engine.worker.worker import PackWorker, trainer_here
from assay.storage import Store
from assay.study import Plan
from trainables.errors import InputError, StorageError

if TYPE_CHECKING:  # it imports Ray, which takes seconds
    from assay.engine.on_ray.pruning import LocalPruner

__all__ = ["local_slots", "train_locally"]

_LOOK_SECONDS = 0.2


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
            "one repeat in a pack. Leave out --local or the pruner, or add seeds: then repeats are pruned."
        )
    cores = cpus or len(os.sched_getaffinity(0))
    places = cores // resources.cpus
    needs, offers = f"{resources.cpus} CPU(s)", f"{cores} CPU(s)"
    if resources.gpus:
        import torch  # a second, which studies on CPUs need not wait for

        gpus = torch.cuda.device_count()
        places = min(places, gpus // int(resources.gpus))
        needs, offers = f"{needs} and {resources.gpus:g} GPU(s)", f"{offers} and {gpus} GPU(s)"
    if places < 1:
        raise InputError(
            f"a trial needs {needs}, but this machine offers {offers}. Lower resources.cpus or gpus in "
            "the study, or raise --cpus."
        )
    if processes == 0:
        return 0
    return places if processes is None else min(places, processes)


def train_locally(packs: RunPacks, ending: Ending) -> End:
    """Train packs as they come, until none comes or on Ctrl-C.

    Raises:
        InputError: As :func:`local_slots`.
        StorageError: If the storage is full, read-only or away.
    """
    store = packs.store
    places = local_slots(packs.plan, packs.options.cpus, packs.options.processes)
    packs.slots = lambda: max(1, places)
    packs.fill()
    stop = threading.Event()
    with (
        ending.work(),
        ForkServer() if places else nullcontext() as server,
        ThreadPoolExecutor(max(1, places), thread_name_prefix="assay-local") as threads,
    ):
        slots = _Slots(store, server, stop, _pruner(packs))
        try:
            if places:
                return End(problems=_hand_out(packs, slots, threads, places))
            for content in filter(None, packs.contents):  # in this thread, where a debugger is
                slots.train(packs.pack_of(content), place=0)
            return End()
        except KeyboardInterrupt:
            return End(interrupted=True)
        finally:
            stop.set()
            if server is not None:
                server.stop()


def _pruner(packs: RunPacks) -> LocalPruner | None:
    if packs.plan.pruned_by is None:
        return None
    from assay.engine.on_ray.pruning import LocalPruner, pruner

    rules = pruner(packs.plan)
    return None if rules is None else LocalPruner(rules, packs.mode, packs.store)


def _hand_out(packs: RunPacks, slots: _Slots, threads: ThreadPoolExecutor, places: int) -> tuple[str, ...]:
    """Keep all places busy; returns problems of packs in a line each."""
    running: dict[Future[None], tuple[set[str], int]] = {}
    free = list(range(places))
    problems: list[str] = []
    over = False
    while running or not over:
        content = None
        if free and not over:
            content = next(packs.contents, ())
            over = content == ()
        if content:
            ids, place = {entry.id for entry in content}, free.pop()
            packs.in_flight |= ids
            running[threads.submit(slots.train, packs.pack_of(content), place)] = (ids, place)
            continue
        done, _ = wait(running, _LOOK_SECONDS, FIRST_COMPLETED)
        for future in done:
            ids, place = running.pop(future)
            packs.in_flight -= ids
            free.append(place)
            error = future.exception()
            if isinstance(error, StorageError):
                raise error
            if error is not None:
                problems.append(f"{type(error).__name__}: {error}".splitlines()[0])
    return tuple(dict.fromkeys(problems))


class _Slots:
    """Trains packs, each in the calling thread."""

    def __init__(
        self, store: Store, server: ForkServer | None, stop: threading.Event, pruner: LocalPruner | None
    ) -> None:
        """``server``: of training processes; None: methods train in this one."""
        self._store, self._server, self._stop, self._pruner = store, server, stop, pruner

    def train(self, pack: Pack, place: int) -> None:
        """Train what has no record of ``pack``; ``place`` says on which GPU, if any."""
        server, gpus = self._server, pack.study.resources.gpus
        trainer = trainer_here() if server is None else trainer_of(pack, self._store, server, self._stop)
        worker = PackWorker(
            pack,
            self._store,
            rank=0,
            world_size=1,
            node=socket.gethostname(),
            driver_pid=os.getpid(),
            device=f"cuda:{place * int(gpus)}" if gpus else "cpu",
            trainer=trainer,
            stop=self._stop,
            falls_behind=bool if self._pruner is None else partial(self._pruner.stops, pack),
        )
        train_trials(worker)
