"""From a run in MLflow to its data, its study and its storage, and from a study to its best model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.tracking import MlflowClient

from assay.analysis.results.reading import results_of_plan
from assay.analysis.results.results import StudyResults
from assay.analysis.summary import metric_summary
from assay.storage import Record, Store
from assay.storage.mlflow_sync_state import runs_of, study_address
from assay.study import Trial
from assay.study.planning.repeats import ManifestSummary
from assay.tracking import MlflowSync, SyncReport
from assay.tracking.models import log_model, log_models, register_best_model
from tests.analysis.made_studies import STUDY, make_plan, make_record
from tests.tracking.test_mlflow_sync import PLAN, SyncedStudy, fill, results_of
from trainables.errors import InputError

MANIFEST = ManifestSummary(
    hash="0123456789abcdef" * 4,
    reader="synthetic",
    images=240,
    defective=96,
    with_mask=96,
    folds=(),
    pixels="8 bits",
)
WITH_DATA = PLAN.model_copy(
    update={
        "manifests": {MANIFEST.hash: MANIFEST},
        "trials": tuple(trial.model_copy(update={"manifest": MANIFEST.hash}) for trial in PLAN.trials),
    }
)


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> SyncedStudy:
    store = Store(tmp_path_factory.mktemp("back"))
    fill(store, WITH_DATA)
    uri = f"sqlite:///{store.local_path}/mlflow.db"
    report = MlflowSync(uri, store).sync(results_of(store, WITH_DATA))
    assert report == SyncReport(new=len(PLAN.trials))
    return SyncedStudy(uri, store, MlflowClient(uri), [report])


@pytest.mark.parametrize("kind", ["trial", "cell"])
def test_a_run_names_its_data_by_the_manifests_hash(sqlite: SyncedStudy, kind: str) -> None:
    for run in sqlite.runs(kind):
        (data,) = run.inputs.dataset_inputs
        assert (data.dataset.name, data.dataset.digest) == ("synthetic", MANIFEST.hash[:36])
        assert json.loads(data.dataset.source)["manifest"] == MANIFEST.hash
        assert json.loads(data.dataset.profile) == {"images": 240, "defective": 96, "with_mask": 96}


@pytest.mark.parametrize("kind", ["trial", "cell"])
def test_a_run_leads_to_its_study_and_the_study_to_its_runs(sqlite: SyncedStudy, kind: str) -> None:
    for run in sqlite.runs(kind):
        tags = run.data.tags
        assert tags["mlflow.source.name"] == f"assay run {sqlite.study}"
        assert "assay.trial" not in tags or tags["mlflow.source.git.commit"] == "abc"
        results = results_of_plan(WITH_DATA, Store(tags["assay.storage"]))
        assert tags["assay.study"] == results.name
        assert tags.get("assay.trial", next(iter(results.records))) in results.records
    address = study_address(sqlite.store, sqlite.study, sqlite.uri)
    assert address is not None
    assert f"#/experiments/{sqlite.experiment}/runs?" in address
    assert study_address(sqlite.store, sqlite.study, "sqlite:///elsewhere.db") is None


def test_a_cells_run_has_the_spread_over_its_repeats(sqlite: SyncedStudy) -> None:
    parents: dict[str, Any] = {run.data.tags["assay.cell"]: run for run in sqlite.runs("cell")}
    spreads = {
        summary.cell.name: summary.spread
        for summary in metric_summary(results_of(sqlite.store, WITH_DATA), "image_ap")
        if summary.spread is not None
    }
    assert len(spreads) == len(PLAN.cells) - 1  # one repeat of the last cell diverged
    told = {cell: parents[cell].data.metrics["spread/image_ap"] for cell in spreads}
    assert told == spreads


def test_the_best_model_on_validation_is_registered_once(sqlite: SyncedStudy, tmp_path: Path) -> None:
    results = results_of(sqlite.store, WITH_DATA)
    with pytest.raises(InputError, match="has none in MLflow"):
        register_best_model(sqlite.store, results, sqlite.uri)
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    for trial, run in runs_of(sqlite.store, sqlite.study, sqlite.uri).items():
        log_model(sqlite.client, run, results.records[trial], tmp_path)
    assert register_best_model(sqlite.store, results, sqlite.uri) == "models:/additions/1"
    assert register_best_model(sqlite.store, results, sqlite.uri) == "models:/additions/1"
    version = sqlite.client.get_model_version("additions", "1")
    values = {
        record.id: record.result.validation["image_ap"]
        for record in results.records.values()
        if record.result is not None and record.trial["cell"] == version.tags["assay.cell"]
    }
    assert version.tags["assay.trial"] == max(values, key=lambda trial: values[trial])
    cells = {trial.cell: trial.levels for trial in PLAN.trials}
    assert cells[version.tags["assay.cell"]] == {"supervision": "full", "stop": "on"}
    assert version.run_id is not None
    run = sqlite.client.get_run(version.run_id)
    assert run.data.tags["assay.trial"] == version.tags["assay.trial"]
    assert run.outputs is not None
    (model,) = (sqlite.client.get_logged_model(output.model_id) for output in run.outputs.model_outputs)
    assert model.artifact_location == version.source
    assert json.loads(model.tags["mlflow.modelVersions"]) == [
        {"name": "additions", "version": version.version}
    ]


def test_a_server_that_refuses_models_is_said_in_one_sentence_each(
    sqlite: SyncedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException("Permission denied", PERMISSION_DENIED)

    monkeypatch.setattr(MlflowClient, "get_run", refuse)
    monkeypatch.setattr("assay.tracking.models.model_files", lambda _: ["model.safetensors"])
    logged = list(log_models(sqlite.store, WITH_DATA, sqlite.uri, Path("cache")))
    assert len(logged) == len(PLAN.trials)
    assert {model.trouble for model in logged} == {"MLflow refuses it: Permission denied"}
    with pytest.raises(InputError, match="MLflow registers no model of additions: Permission denied"):
        register_best_model(sqlite.store, results_of(sqlite.store, WITH_DATA), sqlite.uri)


def without_errors(trial: Trial) -> Record:
    """Of the later seeds the model makes fewer errors on validation images, of the last one none."""
    record = make_record(trial)
    assert record.result is not None
    validation = {"fp": float(1 - trial.seed)}
    return record.model_copy(update={"result": record.result.model_copy(update={"validation": validation})})


def test_a_model_without_any_error_is_the_best(sqlite: SyncedStudy, tmp_path: Path) -> None:
    text = STUDY.replace("study: additions", "study: errors").replace("seeds: [0, 1, 2]", "seeds: [0, 1]")
    plan = make_plan(text.replace("primary: image_ap, report: [fp,", "primary: fp, report: [image_ap,"))
    store = Store(tmp_path / "storage")
    for trial in plan.trials:
        store.write_record(without_errors(trial))
    results = results_of(store, plan)
    assert MlflowSync(sqlite.uri, store).sync(results).complete
    model = tmp_path / "model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {}\n")
    for trial, run in runs_of(store, "errors", sqlite.uri).items():
        log_model(sqlite.client, run, results.records[trial], model)
    assert register_best_model(store, results, sqlite.uri) == "models:/errors/1"
    best = sqlite.client.get_model_version("errors", "1").tags["assay.trial"]
    assert {trial.seed for trial in plan.trials if trial.id == best} == {1}


def test_the_runs_of_cells_are_listed_once(
    sqlite: SyncedStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    search = MlflowClient.search_runs

    def noted(self: MlflowClient, experiments: list[str], query: str = "", **options: Any) -> Any:
        asked.append(query)
        return search(self, experiments, query, **options)

    monkeypatch.setattr(MlflowClient, "search_runs", noted)
    plan = make_plan(STUDY.replace("study: additions", "study: listed"))
    store = Store(tmp_path)
    for trial in plan.trials[:: len(plan.trials) // len(plan.cells)]:
        store.write_record(make_record(trial))
    assert MlflowSync(sqlite.uri, store).sync(results_of(store, plan)).complete
    assert len(plan.cells) > asked.count("tags.`assay.kind` = 'cell'") == 1


def test_without_validation_scores_there_is_no_best_cell(sqlite: SyncedStudy) -> None:
    results = results_of(sqlite.store, WITH_DATA)
    blind = {
        name: record.model_copy(
            update={"result": record.result and record.result.model_copy(update={"validation": {}})}
        )
        for name, record in results.records.items()
    }
    with pytest.raises(InputError, match="no trial of additions has a value of image_ap there"):
        register_best_model(sqlite.store, StudyResults(WITH_DATA, blind), sqlite.uri)
