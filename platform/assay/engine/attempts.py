"""Attempts at a trial: whether another one may begin, and what is recorded when none may."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from assay.engine.fitting.died import DiedError
from assay.engine.pack_site import PackSite
from assay.engine.packs import MAX_ATTEMPTS, Pack
from assay.engine.ranks import from_rank_0
from assay.engine.room import MoreRoomError
from assay.storage import Attempt, AttemptStart, Record
from assay.storage.lease import stop_requested
from assay.study import Trial

__all__ = ["begin_attempt", "other_world_sizes"]


def begin_attempt(trial: Trial, site: PackSite, died: DiedError | None) -> Attempt | None:
    """Note the attempt; None when the trial has a record, was asked to stop, or has had all its attempts.

    ``died``: in the attempt before. Rank 0 looks and tells the others: two looks at a storage may differ.

    Raises:
        MoreRoomError: Before the attempt, if it can be made by more workers; Train starts them.
    """
    begun: Attempt | None = None
    if site.rank == 0 and not _is_over(trial, site):
        attempts = (attempt for attempt in site.store.attempts(trial.id) if not attempt.drained)
        before = [attempt for attempt in attempts if _of_this_run(attempt, site.pack)]
        if len(before) < MAX_ATTEMPTS:
            if site.more_room():
                raise MoreRoomError(f"more than {site.world_size} workers have room now")
            begun = site.store.begin_attempt(trial.id, site.environment())
        else:
            _give_up(trial, site, before, died)
    return from_rank_0(begun, site.world_size)


def _is_over(trial: Trial, site: PackSite) -> bool:
    """True where nothing is left to do in this run; the record of another study's pruner goes."""
    record = site.store.record(trial.id)
    if isinstance(record, Record) and record.status == "pruned" and site.pack.resource == "none":
        site.store.forget_record(trial.id, "pruned")
        record = None
    return isinstance(record, Record) or stop_requested(site.store, "trial", trial.id)


def _of_this_run(attempt: AttemptStart, pack: Pack) -> bool:
    """By the lease where the note has one: a clock that was set puts earlier runs after this one."""
    if pack.lease and attempt.lease:
        return attempt.lease == pack.lease
    return attempt.started >= pack.started


def _give_up(trial: Trial, site: PackSite, attempts: Sequence[AttemptStart], died: DiedError | None) -> None:
    tried = "; ".join(f"{attempt.attempt} on {attempt.host}, pid {attempt.pid}" for attempt in attempts)
    words = _last_words(trial, site, attempts[-1])
    last = died or DiedError(f"it was killed, out of memory or its node lost, and its log ended: {words}")
    reason = (
        f"its {'training process' if died else 'worker'} died in {len(attempts)} attempts: {tried}. "
        f"The last time {last}. {last.way_out}, then `assay run --retry failed`."
    )
    now = datetime.now(UTC)
    site.store.end_trial(
        Record(
            id=trial.id,
            status="failed",
            reason=reason,
            trial=trial.model_dump(mode="json"),
            study=site.pack.study,
            environment=site.environment(),
            attempts=len(attempts),
            started=now,
            ended=now,
        )
    )


def _last_words(trial: Trial, site: PackSite, attempt: AttemptStart) -> str:
    try:
        log = site.store.read_bytes(f"{site.store.trial(trial.id)}/{attempt.attempt}/log.txt")
    except FileNotFoundError:
        return "none"
    return (log.decode(errors="replace").strip().splitlines() or ["none"])[-1]


def other_world_sizes(trial: Trial, site: PackSite, attempt: Attempt) -> tuple[int, ...]:
    """Workers of the attempts before this one, where not all had as many: sums were rounded otherwise."""
    if attempt.number == 1:
        return ()
    before = [start for start in site.store.attempts(trial.id) if start.attempt != attempt.name]
    sizes = tuple(start.workers for start in before if start.workers)
    return sizes if set(sizes) - {site.world_size} else ()
