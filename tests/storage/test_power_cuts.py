"""After a power cut a trial is there with all its files or not at all, whichever write was under way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from assay.storage import Environment, Record, Store
from assay.storage.check.check import Damage, check_storage, quarantine
from assay.storage.check.retention import KeepRule, free, unkept_models
from assay.storage.method_store import keep_methods
from assay.storage.plans import write_plan
from assay.storage.preregistration import record_interim_look
from assay.study import Plan, parse_study, plan_study
from tests.cli.small_search import DRAWN, SEARCH, draw
from tests.engine.process.file_method import plan_of, write
from tests.engine.staged_study import StagedStudy
from tests.engine.worker.worker_alone import train_here
from tests.helpers.results import result_bytes
from tests.storage.recorded_disk import Call, RecordedDisk, Tree, after_power_cut, tree_of

# Every so many-th state is looked at: all of them take minutes (ASSAY_POWER_CUTS=1 in `make torture`).
EVERY = int(os.environ.get("ASSAY_POWER_CUTS", "17"))
CONTINUED = 25 * EVERY  # trained on


class Recording(NamedTuple):
    """A run as the disk saw it."""

    base: Path
    calls: list[Call]
    own: Plan
    result: bytes  # of its one trial, undisturbed


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> Recording:
    """Trials and a stage are trained, a model is dropped, a trial quarantined and one deleted, points
    drawn."""
    folder = tmp_path_factory.mktemp("power")
    base, sources = folder / "base", folder / "sources"
    base.mkdir()
    own = plan_of(write(sources), cache_root)
    hunt = plan_study(parse_study(SEARCH, "hunt.yaml"), None, "cpu")
    staged = StagedStudy.of(base / "storage", cache_root, seeds=(0,))
    trial, mine = staged.plan.trials[0], own.trials[0]
    with pytest.MonkeyPatch.context() as patch:
        disk = RecordedDisk(base, patch)
        store = Store(base / "storage")
        write_plan(store, staged.plan)
        staged.train(
            [trial], [task for batch in staged.stages() for task in batch if task.trial == trial][:1]
        )
        disk.note("promise", trial.id)
        write_plan(store, own)
        keep_methods(store, own.trainables)
        train_here(own, store, cache_root)
        disk.note("promise", mine.id)
        record = store.record(mine.id)
        assert isinstance(record, Record)
        record_interim_look(store, staged.plan)
        rule = KeepRule(models="none", metric="image_ap", trials={"own": [mine.id]}, tried=())
        assert free(store, unkept_models(store, rule, {mine.id: record}, lambda: []))
        write_plan(store, hunt)
        for count in (1, 2):
            draw(store, hunt, DRAWN[:count])
        disk.note("withdraw", trial.id)
        quarantine(store, [Damage("x", "is damaged", "", (store.trial(trial.id),))])
        disk.note("withdraw", mine.id)
        store.delete_tree(store.trial(mine.id))
    return Recording(base, disk.calls, own, result_bytes(record))


def states(recording: Recording) -> Iterator[tuple[int, Tree]]:
    """Each tree that a power cut may leave, once, with the number of calls before it.

    Trees that differ in hidden files are one: nobody reads those.
    """
    seen: set[int] = set()
    for count in range(len(recording.calls) + 1):
        for tree in after_power_cut(recording.calls[:count]):
            read = frozenset(item for item in tree.items() if not item[0].rpartition("/")[2].startswith("."))
            state = hash((read, frozenset(_promised(recording.calls[:count]))))
            if state not in seen:
                seen.add(state)
                yield count, tree


def _promised(calls: list[Call]) -> set[str]:
    """Trials that were recorded before the power went, and not taken away."""
    promised: set[str] = set()
    for call in calls:
        if call.kind == "promise":
            promised.add(call.path)
        elif call.kind == "withdraw":
            promised.discard(call.path)
    return promised


def _lay_out(tree: Tree, base: Path) -> Store:
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    for path, data in sorted(tree.items()):
        if data is None:
            (base / path).mkdir()
        else:
            (base / path).write_bytes(data)
    return Store(base / "storage")


def _damages(store: Store) -> list[str]:
    return [str(damage) for damage in check_storage(store).damages]


def test_the_recording_has_all_that_was_written(recording: Recording) -> None:
    *_, whole = after_power_cut(
        [*recording.calls, *(Call("sync folder", folder) for folder in _folders(recording.calls))]
    )
    shown = {path: data for path, data in whole.items() if not Path(path).name.startswith(".")}
    assert shown == tree_of(recording.base)


def _folders(calls: list[Call]) -> set[str]:
    return {os.path.dirname(call.to or call.path) or "." for call in calls}


def test_after_a_power_cut_no_record_is_half_there_and_none_that_was_written_is_gone(
    recording: Recording, tmp_path: Path
) -> None:
    several = 0
    for several, (calls, tree) in enumerate(states(recording)):
        if several % EVERY:
            continue
        store = _lay_out(tree, tmp_path / "base")
        assert _damages(store) == [], recording.calls[max(0, calls - 5) : calls]
        for trial_id in _promised(recording.calls[:calls]):
            assert isinstance(store.record(trial_id), Record), recording.calls[calls - 5 : calls]
    assert several > 300, "what a power cut may leave is many states"


def test_a_run_goes_on_from_what_a_power_cut_left(
    recording: Recording, tmp_path: Path, cache_root: Path
) -> None:
    for number, (_, tree) in enumerate(states(recording)):
        if number % CONTINUED:
            continue
        store = _lay_out(tree, tmp_path / "base")
        train_here(recording.own, store, cache_root)
        record = store.record(recording.own.trials[0].id)
        assert isinstance(record, Record)
        assert result_bytes(record) == recording.result


@pytest.mark.parametrize("forgotten", ["sync", "sync folder"])
def test_a_program_that_forces_less_to_disk_is_caught(
    recording: Recording, tmp_path: Path, forgotten: str
) -> None:
    calls = [call for call in recording.calls if call.kind != forgotten]
    weaker = recording._replace(calls=calls)
    for number, (count, tree) in enumerate(states(weaker)):
        if number % 7 == 0:
            store = _lay_out(tree, tmp_path / "base")
            lost = [t for t in _promised(calls[:count]) if not isinstance(store.record(t), Record)]
            if lost or _damages(store):
                return
    pytest.fail("nothing was lost")


def test_an_attempt_that_begins_is_on_disk_before_it_trains(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        disk = RecordedDisk(tmp_path, patch)
        Store(tmp_path / "storage").begin_attempt("0" * 16, Environment())
    for tree in after_power_cut(disk.calls):
        assert [path for path in tree if path.endswith(".json")], "it counts, whatever the disk lost"
