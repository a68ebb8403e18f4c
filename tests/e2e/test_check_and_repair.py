"""From damage to the same records: `assay check --repair`, then `assay run`, by its own commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from assay.storage import Record, Store
from tests.e2e.toy_program import ToyProgram
from tests.helpers.results import result_bytes


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> ToyProgram:
    folder = tmp_path_factory.mktemp("repaired")
    toy = ToyProgram(folder, cache_root, str(folder / "storage"), {}, epochs=2)
    toy.release()
    answer = toy.ask("run", str(toy.file), "--local", "--processes", "0")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return toy


def _results(records: dict[str, Record]) -> dict[str, bytes]:
    return {trial: result_bytes(record) for trial, record in records.items()}


def test_what_a_run_leaves_is_sound(toy: ToyProgram) -> None:
    answer = toy.ask("check")
    assert answer.returncode == 0, answer.stdout
    assert "2 records, 0 stages, 1 study read: all sound" in answer.stdout


def test_damaged_trials_are_quarantined_and_trained_again_with_the_same_results(toy: ToyProgram) -> None:
    store = Store(toy.storage)
    before = toy.records(store)
    edited, lost = before.values()
    record = Path(toy.storage, store.trial(edited.id), "record.json")
    record.write_text(record.read_text().replace('"image_ap": 0', '"image_ap": 7', 1))
    Path(toy.storage, store.trial(lost.id), lost.attempt, "predictions.parquet").unlink()
    report = toy.ask("report", "toy").stdout
    assert f"Left out: 1 of 1 repeats of `{edited.trial['cell']}`" in report
    assert f"Intervals over test images leave out trial {lost.id}: its predictions.parquet is gone" in report
    repaired = toy.ask("check", "toy", "--repair")
    assert repaired.returncode == 0, repaired.stdout
    assert f"damaged trials: {', '.join(sorted([edited.id, lost.id]))}" in repaired.stdout
    assert not toy.records(store)
    answer = toy.ask("run", str(toy.file), "--local", "--processes", "0")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "2 trained now" in answer.stdout
    assert _results(toy.records(store)) == _results(before)
    assert toy.ask("check").returncode == 0


def test_a_torn_database_of_mlflow_is_moved_away_and_filled_from_the_records(
    toy: ToyProgram, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    shutil.copytree(toy.storage, storage)
    other = ToyProgram(tmp_path, tmp_path, str(storage), {})
    database = storage / "mlflow.db"
    database.write_bytes(database.read_bytes()[: database.stat().st_size // 2])
    assert other.ask("check").returncode == 0, "records stand, and hold all that it held"
    database.rename(storage / "torn.db")
    assert "2 new, 0 known" in other.ask("mlflow", "--sync").stdout
