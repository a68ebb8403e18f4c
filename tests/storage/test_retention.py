"""Retention: models as the study asks, leftovers freed, records and the files they name kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from assay.storage import Environment, Record, Store
from assay.storage.check.retention import KeepRule, clean_plan, free, unkept_models
from assay.storage.lease import Lease
from assay.storage.plans import stored_plans
from assay.study import Plan
from tests.analysis.made_studies import STUDY, lose, make_plan, make_record
from tests.helpers.results import result_bytes
from trainables.errors import InputError

PLAN = make_plan()


def keeping(models: str) -> Plan:
    return make_plan(STUDY + f"keep: {{models: {models}}}\n")


def finish(store: Store, plan: Plan = PLAN) -> dict[str, Record]:
    """Every trial with a model, a curve and a record."""
    for trial in plan.trials:
        attempt = store.begin_attempt(trial.id, Environment())
        files = {
            f"{attempt.name}/{name}": store.write_bytes(f"{attempt.prefix}/{name}", name.encode())
            for name in ("curve.parquet", "model/model.safetensors", "model/config.json")
        }
        store.write_bytes(f"{attempt.prefix}/log.txt", b"log")
        store.write_record(make_record(trial, files=files, attempt=attempt.name))
    return store.records(trial.id for trial in plan.trials)


def with_validation(record: Record, value: float) -> Record:
    assert record.result is not None
    changed = record.result.model_copy(update={"validation": {"image_ap": value}})
    return record.model_copy(update={"result": changed})


def test_the_model_that_is_best_on_validation_is_kept_not_the_best_on_test(store: Store) -> None:
    records = finish(store)
    mine = [trial.id for trial in PLAN.trials if trial.cell == "supervision=full stop=on"]
    records |= {mine[i]: with_validation(records[mine[i]], value) for i, value in enumerate((0.5, 0.9, 0.1))}
    dropped = KeepRule.of(PLAN).dropped(records)
    assert [trial_id for trial_id in mine if trial_id not in dropped] == [mine[1]]
    assert len(dropped) == 8


def test_where_errors_are_counted_the_fewest_are_best(store: Store) -> None:
    plan = make_plan(STUDY.replace("primary: image_ap, report: [fp,", "primary: fp, report: [image_ap,"))
    dropped = KeepRule.of(plan).dropped(finish(store, plan))
    assert {trial.seed for trial in plan.trials if trial.id not in dropped} == {0}


@pytest.mark.parametrize(("models", "dropped"), [("all", 0), ("none", 12), ("best_per_cell", 8)])
def test_keep_decides_how_many_models_go(store: Store, models: str, dropped: int) -> None:
    assert len(KeepRule.of(keeping(models)).dropped(finish(store))) == dropped


def test_nothing_of_a_cell_is_dropped_before_all_its_repeats_are_done(store: Store) -> None:
    records = finish(store)
    del records[PLAN.trials[0].id]
    ids = [trial.id for trial in PLAN.trials if trial.cell == PLAN.trials[0].cell]
    assert not set(ids) & set(KeepRule.of(PLAN).dropped(records))


def test_a_freed_model_is_noted_in_its_record_and_all_other_files_stay(store: Store) -> None:
    before = finish(store)
    listed = clean_plan(store, [PLAN])
    freed = free(store, listed)
    after = store.records(before)
    assert freed == sum(item.bytes for item in listed) == 8 * len("model/model.safetensorsmodel/config.json")
    for trial_id, record in after.items():
        assert all(store.exists(f"trials/{trial_id}/{path}") for path in record.files)
        assert not any(store.exists(f"trials/{trial_id}/{path}") for path in record.removed)
        assert {*record.files, *record.removed} == {*before[trial_id].files}
        assert result_bytes(record) == result_bytes(before[trial_id])
    assert clean_plan(store, [PLAN]) == []


def test_a_model_that_another_study_keeps_stays(store: Store) -> None:
    finish(store)
    assert clean_plan(store, [keeping("none"), keeping("all")]) == []


def test_a_study_that_ends_frees_models_of_its_own_trials_only(store: Store) -> None:
    records = finish(store)
    mine = PLAN.model_copy(
        update={"trials": tuple(t for t in PLAN.trials if t.cell == "supervision=full stop=on")}
    )
    found = unkept_models(store, KeepRule.of(mine), records, lambda: [keeping("none")])
    assert len(found) == 2
    assert {item.path.split("/")[1] for item in found} < {trial.id for trial in mine.trials}
    assert unkept_models(store, KeepRule.of(mine), records, lambda: [keeping("all")]) == []


def test_other_studies_are_looked_at_only_when_there_is_a_model_to_drop(store: Store) -> None:
    def unreadable() -> list[Plan]:
        raise InputError("a plan cannot be read")

    records = finish(store)
    assert unkept_models(store, KeepRule.of(keeping("all")), records, unreadable) == []
    with pytest.raises(InputError):
        unkept_models(store, KeepRule.of(PLAN), records, unreadable)


def test_leftovers_of_finished_trials_are_listed_with_size_and_reason(store: Store) -> None:
    finish(store)
    folder = store.trial(PLAN.trials[0].id)
    store.write_bytes(f"{folder}/checkpoint.safetensors", b"12345")
    store.write_bytes(f"{folder}/000-deadbeef/log.txt", b"123")
    store.write_bytes(f"{folder}/progress.json", b"1")
    store.write_bytes(f"{folder}/stop.json", b"{}")
    assert {tuple(item) for item in clean_plan(store, [keeping("all")])} == {
        (f"{folder}/checkpoint.safetensors", 5, "checkpoint of a trial that ended"),
        (f"{folder}/000-deadbeef", 3, "attempt that a later one replaced"),
        (f"{folder}/progress.json", 1, "heartbeat of a trial that ended"),
        (f"{folder}/stop.json", 2, "request to stop a trial that ended"),
    }


def test_a_checkpoint_beside_a_record_is_a_leftover_whatever_the_record_says(store: Store) -> None:
    trial = PLAN.trials[0]
    store.write_record(lose(trial, "failed", "its worker died in 3 attempts"))
    store.write_bytes(f"{store.trial(trial.id)}/checkpoint.safetensors", b"12345")
    assert [item.reason for item in clean_plan(store)] == ["checkpoint of a trial that ended"]


@pytest.mark.parametrize(
    "folder", [f"trials/{PLAN.trials[0].id}", f"trials/{'a' * 16}", f"stages/{'b' * 16}"]
)
def test_what_a_killed_writer_left_is_freed_once_nobody_writes(store: Store, folder: str) -> None:
    finish(store)
    store.write_bytes(f"{folder}/.checkpoint.safetensors.4711.0a1b2c3d.partial", b"12345")
    with Lease(store, "additions"):
        assert clean_plan(store, [keeping("all")]) == []
    (left,) = clean_plan(store, [keeping("all")])
    assert (left.bytes, left.reason) == (5, "file whose writer was killed")


def test_of_a_trial_without_a_record_checkpoint_and_newest_attempt_stay(store: Store) -> None:
    first, second = (store.begin_attempt("00000000000000aa", Environment()) for _ in range(2))
    for attempt in (first, second):
        store.write_bytes(f"{attempt.prefix}/log.txt", b"log")
    store.write_bytes("trials/00000000000000aa/checkpoint.safetensors", b"1")
    assert [item.path for item in clean_plan(store)] == [first.prefix]


def test_while_a_study_runs_its_scratch_and_open_attempts_are_left_alone(store: Store) -> None:
    for _ in range(2):
        attempt = store.begin_attempt("00000000000000aa", Environment())
        store.write_bytes(f"{attempt.prefix}/log.txt", b"log")
    store.write_bytes(".tune/run/x", b"1")
    store.write_bytes("studies/additions/packs/run/0000.json", b"1")
    with Lease(store, "additions"):
        assert clean_plan(store) == []
    assert {item.reason for item in clean_plan(store)} == {
        "attempt without a record",
        "scratch of the engine",
    }


def link(store: Store, path: str, target: str) -> None:
    """Put a symbolic link into the storage, with its target as seen from there."""
    assert store.local_path is not None
    (store.local_path / path).parent.mkdir(parents=True, exist_ok=True)
    (store.local_path / path).symlink_to(target)


def copy_trials(store: Store, folder: str) -> None:
    for trial in PLAN.trials[:2]:
        data = store.read_bytes(f"{store.trial(trial.id)}/record.json")
        store.write_bytes(f"{folder}/{trial.id}/record.json", data)


FOREIGN: dict[str, Callable[[Store], None]] = {
    "a link to all trials": lambda store: link(store, "trials/loop", "../trials"),
    "a link to its own folder": lambda store: link(store, "trials/all", "."),
    "a link with the name of a trial": lambda store: link(store, f"trials/{'e' * 16}", "../trials"),
    "a link out of the storage": lambda store: link(store, "trials/away", "/"),
    "a link with the name of the last attempt": lambda store: link(
        store, f"trials/{PLAN.trials[0].id}/999-aaaaaaaa", ".."
    ),
    "a link for the engine's scratch": lambda store: link(store, ".tune", "trials"),
    "a link for the packs of a study": lambda store: link(store, "studies/x/packs", "../../trials"),
    "a link with the name of a stage": lambda store: link(store, f"stages/{'e' * 16}", "../trials"),
    "copies of trials": lambda store: copy_trials(store, "trials/old"),
    "copies of trials among stages": lambda store: copy_trials(store, "stages/old"),
    "copies of trials in a trial": lambda store: copy_trials(store, f"trials/{'e' * 16}"),
    "a user's folder beside a record": lambda store: copy_trials(
        store, f"trials/{PLAN.trials[0].id}/checkpoints of mine"
    ),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=list(FOREIGN))
def test_nothing_is_freed_behind_links_or_in_folders_of_others(
    store: Store, foreign: Callable[[Store], None]
) -> None:
    finish(store)
    foreign(store)
    assert clean_plan(store, [keeping("all")]) == []


def test_a_model_behind_a_link_stays(store: Store) -> None:
    finish(store)
    trial_id = PLAN.trials[0].id
    assert store.local_path is not None
    folder = store.local_path / "trials" / trial_id
    (attempt,) = folder.glob("001-*")
    attempt.rename(store.local_path / "elsewhere")
    link(store, f"trials/{trial_id}/{attempt.name}", "../../elsewhere")
    assert not [item for item in clean_plan(store, [keeping("none")]) if trial_id in item.path]


def test_the_size_of_a_folder_is_that_of_its_own_files(store: Store) -> None:
    store.write_bytes(".tune/run/x", bytes(5000))
    link(store, ".tune/run/loop", ".")
    (item,) = clean_plan(store)
    assert 5000 < item.bytes < 5100, "the link itself has a few bytes"


def test_the_plan_of_a_linked_study_is_not_taken_for_none(store: Store) -> None:
    link(store, "studies/x", "../elsewhere")
    with pytest.raises(InputError, match="no symbolic link, found studies/x"):
        stored_plans(store)


def test_an_unreadable_record_and_its_files_are_never_freed(store: Store) -> None:
    finish(store)
    trial_id = PLAN.trials[0].id
    store.write_bytes(f"trials/{trial_id}/record.json", b"{")
    assert not [item for item in clean_plan(store, [keeping("none")]) if trial_id in item.path]
