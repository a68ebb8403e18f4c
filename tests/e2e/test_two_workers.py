"""A shipped study whose trials take two workers each, run as it stands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from assay.storage import Store
from assay.study.planning.plan_table import plan_of_table
from tests.e2e.small_study import Program

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(600)
def test_a_shipped_study_trains_each_trial_with_two_workers(tmp_path: Path, cache_root: Path) -> None:
    file = Path(shutil.copy(ROOT / "studies" / "training" / "two_workers.yaml", tmp_path))
    study = Program(file, tmp_path / "storage", cache_root)
    answer = study.assay("run", str(file), timeout=540)
    assert answer.returncode == 0, answer.stdout + answer.stderr

    store = Store(tmp_path / "storage")
    trials = plan_of_table(store.read_table("studies/two_workers/plan.parquet")).trials
    records = store.records(trial.id for trial in trials)
    assert len(records) == len(trials) == 6
    assert {record.status for record in records.values()} == {"finished"}
    for record in records.values():
        first, second = record.environment.workers
        assert first.weights_hash
        assert first.weights_hash == second.weights_hash
    assert "batch normalisation" in study.ask("report", "two_workers").stdout
