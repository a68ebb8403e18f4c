"""An experiment of a study's name that somebody else made, described, or fills from another storage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from assay.storage import Store
from assay.study import Plan
from assay.tracking import MlflowSync, SyncReport, complete_file
from tests.analysis.made_studies import STUDY, lose, make_plan
from tests.tracking.test_mlflow_sync import PLAN, fill, results_of

NOTE = "mlflow.note.content"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "storage")
    fill(store)
    return store


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables without a run: making them takes a second."""
    path = tmp_path_factory.mktemp("empty") / "own.db"
    complete_file(f"sqlite:///{path}")
    return path


@pytest.fixture
def uri(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)  # where MLflow puts the files of an experiment of its own
    return f"sqlite:///{shutil.copy(empty, tmp_path)}"


def told(uri: str, store: Store, plan: Plan = PLAN) -> SyncReport:
    report = MlflowSync(uri, store).sync(results_of(store, plan))
    assert report.complete
    return report


def note_of(uri: str) -> str:
    found = MlflowClient(uri).get_experiment_by_name("additions")
    assert found is not None
    return found.tags[NOTE]


@pytest.mark.parametrize("plan", [PLAN, make_plan(STUDY.replace("question: Which addition pays?\n", ""))])
def test_an_experiment_that_somebody_else_made_keeps_its_description(
    uri: str, store: Store, plan: Plan
) -> None:
    MlflowClient(uri).create_experiment("additions", tags={NOTE: "MY NOTES"})
    (note,) = told(uri, store, plan).notes
    assert "assay has not made it" in note
    store.write_record(lose(PLAN.trials[0], "failed", "no memory"))
    assert told(uri, store, plan).notes == ()
    assert note_of(uri) == "MY NOTES"


def test_runs_of_others_in_an_experiment_are_told_of_once(uri: str, store: Store) -> None:
    client = MlflowClient(uri)
    client.create_run(client.create_experiment("additions"))
    assert [len(told(uri, store).notes) for _ in range(2)] == [1, 0]
    assert note_of(uri).startswith("Which addition pays?")


def test_a_description_that_somebody_rewrote_stays(uri: str, store: Store) -> None:
    told(uri, store)
    client = MlflowClient(uri)
    found = client.get_experiment_by_name("additions")
    assert found is not None
    client.set_experiment_tag(found.experiment_id, NOTE, "rewritten")
    store.write_record(lose(PLAN.trials[0], "failed", "no memory"))
    told(uri, store)
    assert note_of(uri) == "rewritten"


def test_a_second_storage_with_a_study_of_the_name_is_told_of(uri: str, store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    fill(other)
    assert told(uri, store).notes == ()
    (note,) = told(uri, other).notes
    assert f"was told from {tmp_path / 'storage'} before" in note
