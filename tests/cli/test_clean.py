"""`assay clean`: what no result needs is listed first and freed when asked; records stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.storage import Environment, Lease, Store
from assay.storage.check.check import check_storage, quarantine
from assay.storage.check.retention import clean_plan
from assay.storage.plans import write_plan
from assay.storage.preregistration import preregister
from assay.study import Plan, parse_study, plan_study
from tests.cli.small_search import SEARCH, write_search
from tests.cli.small_study import Assay
from tests.engine.staged_study import StagedStudy


def test_clean_says_first_and_frees_only_what_no_result_needs(assay: Assay, store: Store, plan: Plan) -> None:
    done, open_ = plan.trials[0].id, plan.trials[3].id
    kept = store.read_bytes(f"trials/{done}/record.json")
    store.write_bytes(f"trials/{done}/checkpoint.safetensors", b"x" * 1000)
    store.write_bytes(f"trials/{done}/000-deadbeef/curve.parquet", b"x" * 2000)
    store.write_bytes(f"trials/{open_}/checkpoint.safetensors", b"still needed")
    listed = assay("clean", "--storage", store.uri)
    assert "would free 3 kB" in listed.out, listed.out
    assert store.exists(f"trials/{done}/checkpoint.safetensors")
    assert "freed 3 kB" in assay("clean", "--yes", "--storage", store.uri).out
    assert not store.exists(f"trials/{done}/checkpoint.safetensors")
    assert not store.exists(f"trials/{done}/000-deadbeef")
    assert store.exists(f"trials/{open_}/checkpoint.safetensors")
    assert store.read_bytes(f"trials/{done}/record.json") == kept
    assert "would free 0 B" in assay("clean", "--storage", store.uri).out


def test_clean_leaves_attempts_alone_while_a_study_runs(assay: Assay, store: Store, plan: Plan) -> None:
    running = plan.trials[3].id
    for _ in range(2):
        attempt = store.begin_attempt(running, Environment(host="here"))
        store.write_bytes(f"{attempt.prefix}/log.txt", b"training\n")
    with Lease(store, "small"):
        assert "would free 0 B" in assay("clean", "--storage", store.uri).out
    assert "would free 9 B" in assay("clean", "--storage", store.uri).out


def test_clean_removes_nothing_when_a_study_begins_while_it_looks(
    assay: Assay, store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        attempt = store.begin_attempt(plan.trials[3].id, Environment(host="here"))
        store.write_bytes(f"{attempt.prefix}/log.txt", b"training\n")
    held = Lease(store, "small")

    def look(*arguments: object) -> object:
        listed = clean_plan(*arguments)  # type: ignore[arg-type]
        held.take()
        return listed

    monkeypatch.setattr("assay.storage.check.retention.clean_plan", look)
    refused = assay("clean", "--yes", "--storage", store.uri)
    held.give_back()
    assert refused.code == 2
    assert "small began to run while" in refused.err
    assert len(store.list(f"trials/{plan.trials[3].id}")) == 3, "two attempts and their notes"


def test_trials_of_no_study_go_only_when_asked(assay: Assay, store: Store) -> None:
    store.write_bytes(f"trials/{'e' * 16}/record.json", b"{}")
    assert "would free 0 B" in assay("clean", "--storage", store.uri).out
    assert "e" * 16 in assay("clean", "--orphans", "--storage", store.uri).out


def test_clean_says_that_orphans_are_not_looked_for_while_a_study_runs(assay: Assay, store: Store) -> None:
    store.write_bytes(f"trials/{'e' * 16}/record.json", b"{}")
    with Lease(store, "small"):
        listed = assay("clean", "--orphans", "--storage", store.uri).out
    assert "small is running: what no study plans was not looked for" in listed
    assert "e" * 16 not in listed


def test_stages_of_no_study_go_only_when_asked(assay: Assay, tmp_path: Path) -> None:
    study = StagedStudy.of(tmp_path / "storage", tmp_path / "cache", seeds=(0,))
    write_plan(study.store, study.plan)
    study.train(study.plan.trials[:1])
    study.store.write_bytes(f"stages/{'e' * 16}/done.json", b"{}")
    assert "would free 0 B" in assay("clean", "--storage", study.storage).out
    listed = assay("clean", "--orphans", "--storage", study.storage).out
    assert [line.split()[0] for line in listed.splitlines() if "no study plans it" in line] == [
        f"stages/{'e' * 16}"
    ]


def _cut(store: Store) -> None:
    store.write_bytes("studies/small/plan.parquet", b"cut")


def _cut_and_repaired(store: Store) -> None:
    _cut(store)
    quarantine(store, check_storage(store).damages)


def _deleted(store: Store) -> None:
    store.delete_tree("studies/small/plan.parquet")


def _renamed(store: Store) -> None:
    store.move("studies/small", "studies/other")


def _renamed_and_repaired(store: Store) -> None:
    _renamed(store)
    quarantine(store, check_storage(store).damages)


@pytest.mark.parametrize("lose", [_cut, _cut_and_repaired, _deleted, _renamed, _renamed_and_repaired])
@pytest.mark.parametrize("option", ["--orphans", None])
def test_where_a_plan_is_lost_nothing_is_freed(
    assay: Assay, store: Store, plan: Plan, lose: Callable[[Store], object], option: str | None
) -> None:
    lose(store)
    answer = assay("clean", "--yes", *filter(None, [option]), "--storage", store.uri)
    assert answer.code == 2, answer.out
    assert "plan.parquet" in answer.err
    assert store.exists(f"trials/{plan.trials[0].id}/record.json")


def test_trials_of_a_study_that_was_removed_go_when_asked(assay: Assay, store: Store) -> None:
    store.delete_tree("studies/small")
    assert assay("clean", "--yes", "--orphans", "--storage", store.uri).code == 0
    assert store.trials() == []


def test_trials_of_a_search_without_its_points_are_not_taken_for_orphans(
    assay: Assay, tmp_path: Path
) -> None:
    store = Store(tmp_path / "storage")
    plan = plan_study(parse_study(SEARCH, "hunt.yaml"), None, "cpu")
    write_plan(store, plan)
    write_search(store, plan)
    before = store.trials()
    path = "studies/hunt/search.jsonl"
    store.write_bytes(path, store.read_bytes(path)[:-20])
    quarantine(store, check_storage(store).damages)
    answer = assay("clean", "--yes", "--orphans", "--storage", store.uri)
    assert answer.code == 2, answer.out
    assert f"{path} is not there" in answer.err
    assert store.trials() == before


def test_trials_that_a_search_without_its_points_shares_are_not_taken_for_orphans(
    assay: Assay, tmp_path: Path
) -> None:
    store = Store(tmp_path / "storage")
    hunt, again = (
        plan_study(parse_study(SEARCH.replace("study: hunt", f"study: {name}"), f"{name}.yaml"), None, "cpu")
        for name in ("hunt", "again")
    )
    write_search(store, hunt)  # its records name the search that trained them
    write_plan(store, again)
    store.delete_tree("studies/hunt")
    answer = assay("clean", "--orphans", "--storage", store.uri)
    assert answer.code == 2, answer.out
    assert "studies/again/search.jsonl is not there" in answer.err


ORPHAN = f"trials/{'e' * 16}"


def begun(store: Store, text: str) -> Plan:
    """A search as `assay run` leaves it before its first point, beside a trial of no study."""
    store.write_bytes(f"{ORPHAN}/record.json", b"{}")
    plan = plan_study(parse_study(text, "hunt.yaml"), None, "cpu")
    preregister(store, plan)
    write_plan(store, plan)
    return plan


def orphans(assay: Assay, store: Store) -> list[str]:
    answer = assay("clean", "--orphans", "--storage", store.uri)
    assert answer.code == 0, answer.err
    return [line.split()[0] for line in answer.out.splitlines() if "no study plans it" in line]


def test_winners_of_a_search_that_got_more_points_are_not_taken_for_orphans(
    assay: Assay, tmp_path: Path
) -> None:
    store = Store(tmp_path / "storage")
    write_search(store, begun(store, SEARCH))
    begun(store, SEARCH.replace("points: 5", "points: 8"))
    assert orphans(assay, store) == [ORPHAN]


def test_a_renamed_study_gets_its_name_again_and_loses_no_plan(assay: Assay, store: Store) -> None:
    _renamed(store)
    answer = assay("check", "--repair", "--storage", store.uri)
    assert answer.code == 1
    assert "Give the folder its name again: studies/small." in " ".join(answer.out.split())
    assert store.exists("studies/other/plan.parquet")
