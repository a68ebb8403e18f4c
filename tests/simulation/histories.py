"""Histories of a made world, drawn by hypothesis: who goes on, what becomes of a call, who dies, what time.

Every history ends with an undisturbed time in which the study is run until nothing is missing. What must hold
always is checked at every change of an object, the rest at the end. A history that breaks a rule is shrunk,
and printed as the calls that lead to it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from contextlib import ExitStack
from functools import cache
from itertools import count, takewhile

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from assay.engine.retries import MAX_ATTEMPTS
from assay.storage import Record
from assay.storage.check.retention import clean_plan, free
from assay.storage.files.checksum import without_last_line
from assay.storage.files.conditional import Version
from assay.storage.lease import LeaseNote, displace, holder, read_note, request_stop
from assay.storage.record import read_record
from assay.storage.search_points import with_points
from tests.helpers.results import result_bytes
from tests.simulation.program import BUDGET_SECONDS, STUDIES, Run, planned, toy_training
from tests.simulation.world import Fate, Process, SimulatedStore, World, simulated
from trainables.errors import InputError, StorageError

__all__ = ["TOTALS", "Histories", "sleep_at_calls", "undisturbed"]

FATES: tuple[Fate, ...] = ("lost", "unanswered", "twice", "slow", "412", "killed before", "killed after")
TOTALS: Counter[str] = Counter()  # over all histories of this process
_MOST_RUNS = 25  # until a study has to be whole, once nothing disturbs it
_MOST_STEPS = 40_000
_WHO = st.integers(0, 5)
_ROUNDS = st.integers(0, 12)  # of all processes, before something happens
_SECONDS = st.sampled_from([1.0, 9.0, 31.0, 61.0, 125.0])
_SKEWS = st.sampled_from([-86_400.0, -45.0, 45.0, 300.0, 86_400.0])


class Checks:
    """What must hold at every change of an object."""

    def __init__(self, name: str, expected: dict[str, bytes]) -> None:
        self.name, self.expected = name, expected
        self.broken: list[str] = []
        self.world = World(self.changed)
        self.clocks_wrong = False
        self.seen: Counter[str] = Counter()
        self.leases = set[str]()  # tokens of those that are over

    def changed(self, call: str, path: str, before: bytes | None, after: bytes | None, who: Process) -> None:
        if path.endswith("/record.json"):
            self._record(path, before, after, who)
        elif path.endswith("/lease.json"):
            self._lease(before, after, who)
        elif path.endswith(".jsonl") and before is not None:
            points = without_last_line(before)[0].splitlines()
            kept = without_last_line(after or b"")[0].splitlines()[: len(points)]
            self.require(kept == points, f"{who.what} {who.pid} lost points of {path}")
        elif path.endswith("/done.json") and call != "late write":
            self.seen["stages made"] += 1
        elif "/attempts/" in path and after is not None and call != "late write":
            self._attempt(path, after)

    def require(self, holds: bool, text: str) -> None:
        if not holds:
            self.broken.append(f"{text}, after {self.world.calls} calls")

    def _record(self, path: str, before: bytes | None, after: bytes | None, who: Process) -> None:
        trial = path.split("/")[1]
        text = f"{who.what} {who.pid}"
        there = read_record(before, trial, path) if before is not None else None
        result = isinstance(there, Record) and there.status == "finished"
        self.require(not result, f"{text} {'removed' if after is None else 'replaced'} {path}, a result")
        if after is None:
            return
        record = read_record(after, trial, path)
        self.require(isinstance(record, Record), f"{text} wrote a damaged {path}")
        if isinstance(record, Record) and not _given_up(record):
            same = self.expected.get(trial) in {result_bytes(record), None}
            self.require(same, f"{path} differs from that of an undisturbed run")
        self.seen["records"] += 1

    def _lease(self, before: bytes | None, after: bytes | None, who: Process) -> None:
        old, new = _note(before or b""), _note(after or b"")
        if new is None:
            self.broken.append(f"{who.what} {who.pid} wrote no lease")
            return
        if old is None:
            return
        if new.token == old.token:
            return
        self.require(new.token not in self.leases, f"run {new.pid} has a lease back that another took over")
        self.leases.add(old.token)
        self.seen["leases"] += 1
        if not old.held or not new.held or self.clocks_wrong:
            return
        self.seen["takeovers"] += 1
        earlier = next(process for process in self.world.processes if process.pid == old.pid)
        silent = self.world.now - old.beat
        self.require(
            not earlier.alive or silent > 60,
            f"run {new.pid} took the lease of run {old.pid}, which gave a sign of life {silent:.0f} s ago",
        )

    def _attempt(self, path: str, after: bytes) -> None:
        folder, lease = path.rpartition("/")[0], json.loads(after)["lease"]
        started = [
            name
            for name, (data, _) in self.world.objects.items()
            if name.startswith(folder) and json.loads(data)["lease"] == lease
        ]
        self.require(len(started) <= MAX_ATTEMPTS, f"attempt {len(started)} of {folder} in one run")


def _note(data: bytes) -> LeaseNote | None:
    return read_note(Version(data))


def _given_up(record: Record) -> bool:
    return record.status == "failed" and "its worker died in" in (record.reason or "")


class Histories(RuleBasedStateMachine):
    """One study, its runs and workers, and what disturbs them."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.runs: list[Run] = []

    @initialize(name=st.sampled_from(sorted(STUDIES)))
    def begin(self, name: str) -> None:
        self.plan = planned(name)
        self.checks = Checks(self.plan.study.study, undisturbed(name))
        self.world = self.checks.world
        self.stack.enter_context(simulated(self.world))
        self.stack.enter_context(toy_training())
        self.store = SimulatedStore(self.world)
        self.start(0, 0, False)

    # What happens --------------------------------------------------------------------------------------

    @rule(after=_ROUNDS, machine=st.integers(0, 1), retry=st.booleans())
    @precondition(lambda self: sum(run.process.alive for run in self.runs) < 3)
    def start(self, after: int, machine: int, retry: bool) -> None:
        self._go_on(after)
        self.runs.append(Run(self.world, self.world.machines[machine], self.plan, retry_failed=retry))

    @rule(who=_WHO, calls=st.integers(1, 20))
    def one_goes_on(self, who: int, calls: int) -> None:
        if (process := self._ready(who)) is not None:
            for _ in range(calls):
                if not self.world.step(process) and (seconds := self.world.until_awake()) is not None:
                    self.world.pass_time(seconds)

    @rule(after=_ROUNDS, who=_WHO, fate=st.sampled_from(FATES))
    def disturb(self, after: int, who: int, fate: Fate) -> None:
        self._go_on(after)
        if (process := self._ready(who)) is not None:
            process.fate = fate

    @rule(after=_ROUNDS, who=_WHO)
    def kill(self, after: int, who: int) -> None:
        self._go_on(after)
        if (process := self._ready(who)) is not None:
            self.world.kill(process)

    @rule(after=_ROUNDS, who=_WHO, seconds=_SECONDS)
    def stop(self, after: int, who: int, seconds: float) -> None:
        self._go_on(after)
        if (process := self._ready(who)) is not None:
            process.stopped = True
        self.world.pass_time(seconds)

    @rule(after=_ROUNDS)
    def wake(self, after: int) -> None:
        self._go_on(after)
        for process in self.world.processes:
            process.stopped = False

    @rule(after=_ROUNDS, machine=st.integers(0, 1), skew=_SKEWS)
    def set_clock(self, after: int, machine: int, skew: float) -> None:
        self._go_on(after)
        self.world.machines[machine].skew = skew
        self.checks.clocks_wrong = True

    @rule(after=_ROUNDS, trial=st.one_of(st.none(), st.integers(0, 3)), meant=st.booleans())
    def ask_to_stop(self, after: int, trial: int | None, meant: bool) -> None:
        self._go_on(after)
        note = holder(self.store, self.plan.study.study)
        token = note.token if note is not None and meant else ""
        if trial is None:
            request_stop(self.store, "study", self.plan.study.study, token)
        elif trial < len(self.plan.trials):
            request_stop(self.store, "trial", self.plan.trials[trial].id, token)

    @rule(after=_ROUNDS)
    def take_away(self, after: int) -> None:
        self._go_on(after)
        try:
            displace(self.store, self.plan.study.study)
        except InputError:
            return

    @invariant()
    def nothing_is_broken(self) -> None:
        assert not self._broken(), self._broken()

    # The end -------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if hasattr(self, "checks") and not self._broken():
                self._end()
                TOTALS.update(self.checks.seen)
                TOTALS.update({"histories": 1, "calls": self.world.calls, "runs": len(self.runs)})
                TOTALS.update({"processes": len(self.world.processes)})
        finally:
            if hasattr(self, "checks"):
                for process in self.world.processes:
                    self.world.kill(process)
            self.stack.close()

    def _end(self) -> None:
        """Run the study until nothing is missing, with nothing to disturb it, and look at what is there."""
        for process in self.world.processes:
            process.stopped, process.fate = False, "well"
        for number in range(_MOST_RUNS):
            self._let_all_end()
            if not self._missing():
                break
            retry = any(_given_up(record) for record in self._records().values())
            # A trial that was stopped for minutes leaves no room for another: its user allows more time.
            budget = BUDGET_SECONDS if number < _MOST_RUNS // 2 else math.inf
            north = self.world.machines[0]
            self.runs.append(Run(self.world, north, self.plan, retry_failed=retry, budget=budget))
            if not self.runs[-1].process.alive:
                self.world.pass_time(30.0)
        else:
            errors = [run.process.error for run in self.runs[-3:]]
            raise AssertionError(f"after {_MOST_RUNS} runs {self._missing()} is missing; the last: {errors}")
        assert not self._broken(), self._broken()
        records = {trial: result_bytes(record) for trial, record in self._records().items()}
        assert records == self.checks.expected
        self._check_budget()
        self._check_leftovers()

    def _let_all_end(self) -> None:
        for _ in range(_MOST_STEPS):
            for run in self.runs:
                if not run.process.alive:  # Ray ends workers whose driver is gone
                    for worker in run.workers:
                        self.world.kill(worker)
            if not any(process.alive for process in self.world.processes):
                self.world.pass_time(15.0)
                return
            self._round()
        alive = [f"{process.what} {process.pid}" for process in self.world.processes if process.alive]
        raise AssertionError(f"{alive} go on for ever")

    def _go_on(self, rounds: int) -> None:
        """Let all go on; where nobody is at the study any more, somebody runs it again."""
        for _ in range(rounds):
            if not any(run.process.alive for run in self.runs) and self._missing():
                self.runs.append(Run(self.world, self.world.machines[rounds % 2], self.plan))
            self._round()

    def _round(self) -> None:
        moved = [self.world.step(process) for process in list(self.world.processes) if process.ready]
        if not any(moved) and (seconds := self.world.until_awake()) is not None:
            self.world.pass_time(seconds)

    def _ready(self, who: int) -> Process | None:
        ready = [process for process in self.world.processes if process.ready]
        return ready[who % len(ready)] if ready else None

    def _records(self) -> dict[str, Record]:
        plan = with_points(self.plan, self.store)
        return self.store.records(trial.id for trial in plan.trials)

    def _missing(self) -> list[str]:
        plan = with_points(self.plan, self.store)
        records = self._records()
        missing = [t.id for t in plan.trials if t.id not in records or _given_up(records[t.id])]
        return missing + ["points"] * (plan.size - len(plan.trials))

    def _broken(self) -> list[str]:
        if not hasattr(self, "checks"):
            return []
        errors = [
            f"{process.what} {process.pid} ended with {process.error!r}"
            for process in self.world.processes
            if process.error is not None and not isinstance(process.error, StorageError | InputError)
        ]
        return [*self.checks.broken, *errors]

    def _check_budget(self) -> None:
        if self.plan.study.budget is None:
            return
        for run in self.runs:
            batches = [(at, batch) for at, batch in run.handed_out if batch.trials]
            first = {trial.seed for _, batch in batches[:1] for trial in batch.trials}
            begun: dict[int, float] = {}
            for at, batch in batches:
                for trial in batch.trials:
                    begun.setdefault(trial.seed, at)
            late = {seed: at for seed, at in begun.items() if seed not in first and at > run.budget}
            assert not late, f"seeds were begun after the budget: {late}"

    def _check_leftovers(self) -> None:
        """After `assay clean` there is nothing but results."""
        free(self.store, clean_plan(self.store))
        left = [path for path in self.world.objects if not self._belongs(path)]
        assert not left, f"{left} stay behind"

    def _belongs(self, path: str) -> bool:
        match path.split("/"):
            case [".conditions" | "storage.json"] | [
                "studies",
                _,
                "study.yaml" | "plan.parquet" | "lease.json" | "search.jsonl" | "stop.json",
            ]:
                return True
            case ["trials", trial, "record.json"] | ["trials", trial, "attempts", _]:
                return trial in self.checks.expected
            case ["trials", trial, attempt, _]:
                return trial in self.checks.expected and attempt != "attempts"
            case ["stages", _, *_]:
                return True
            case _:
                return False


@cache
def undisturbed(name: str) -> dict[str, bytes]:
    """Trial → result of a run of the study that nothing disturbs; each stage is made once."""
    checks = Checks(planned(name).study.study, {})
    with simulated(checks.world), toy_training():
        history = _history(name, checks)
        for _ in range(4):  # a budget may take several
            history.runs.append(Run(checks.world, checks.world.machines[0], history.plan))
            history._let_all_end()
        assert not history._missing(), [run.process.error for run in history.runs]
        assert not checks.broken, checks.broken
        made = [path for path in checks.world.objects if path.endswith("/done.json")]
        assert checks.seen["stages made"] == len(made)
        return {trial: result_bytes(record) for trial, record in history._records().items()}


def sleep_at_calls(name: str, *, workers: bool, awake_after: int, every: int) -> int:
    """Sleep at each ``every``-th call, as in :func:`_sleep_through`; returns how many histories that were."""
    calls = takewhile(
        lambda call: _sleep_through(name, call, workers=workers, awake_after=awake_after), count(2, every)
    )
    return sum(1 for _ in calls)


def _sleep_through(name: str, call: int, *, workers: bool, awake_after: int) -> bool:
    """A run sleeps past its lease, with its workers, at a call, and wakes up beside another run.

    Args:
        name: Of the study.
        call: Number of the call to the storage, from 1 on.
        workers: Calls of its workers are counted, and not those of the run.
        awake_after: Rounds of the other run, after which the sleepers go on.

    Returns:
        False where an undisturbed run makes fewer calls.

    Raises:
        AssertionError: If a rule is broken.
    """
    checks = Checks(planned(name).study.study, undisturbed(name))
    with simulated(checks.world), toy_training():
        history = _history(name, checks)
        world = checks.world
        sleeper = Run(world, world.machines[0], history.plan)
        history.runs.append(sleeper)
        calls = 0
        while calls < call:
            if not sleeper.process.alive:
                return False
            moved = False
            for process in [process for process in world.processes if process.ready]:
                before = world.calls
                moved |= world.step(process)
                if (process is not sleeper.process) == workers:
                    calls += world.calls - before
                if calls >= call:
                    break
            if not moved and (seconds := world.until_awake()) is not None:
                world.pass_time(seconds)

        for process in world.processes:
            process.stopped = True
        world.pass_time(125.0)
        history.runs.append(Run(world, world.machines[1], history.plan))
        for _ in range(awake_after):
            if not history.runs[-1].process.alive:
                break
            history._round()
        try:
            history._end()
        finally:
            for process in world.processes:
                world.kill(process)
    return True


def _history(name: str, checks: Checks) -> Histories:
    """A history of the study in which nothing has happened yet."""
    history = Histories.__new__(Histories)
    history.plan, history.checks, history.world = planned(name), checks, checks.world
    history.store, history.runs = SimulatedStore(checks.world), []
    return history
