"""`assay clean`: what no result needs is listed first and freed when asked; records stay."""

from __future__ import annotations

from pathlib import Path

from assay.storage import Environment, Lease, Store
from assay.study import Plan
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


def test_trials_of_no_study_go_only_when_asked(assay: Assay, store: Store) -> None:
    store.write_bytes(f"trials/{'e' * 16}/record.json", b"{}")
    assert "would free 0 B" in assay("clean", "--storage", store.uri).out
    assert "e" * 16 in assay("clean", "--orphans", "--storage", store.uri).out


def test_stages_of_no_study_go_only_when_asked(assay: Assay, tmp_path: Path) -> None:
    study = StagedStudy.of(tmp_path / "storage", tmp_path / "cache", seeds=(0,))
    study.store.write_table("studies/staged/plan.parquet", study.plan.to_table())
    study.train(study.plan.trials[:1])
    study.store.write_bytes(f"stages/{'e' * 16}/done.json", b"{}")
    assert "would free 0 B" in assay("clean", "--storage", study.storage).out
    listed = assay("clean", "--orphans", "--storage", study.storage).out
    assert [line.split()[0] for line in listed.splitlines() if "no study plans it" in line] == [
        f"stages/{'e' * 16}"
    ]
