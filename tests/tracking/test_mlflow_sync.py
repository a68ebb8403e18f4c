"""Records are synced to MLflow: on SQLite, over HTTP, on PostgreSQL, value by value, and later when it was
away."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from mlflow.tracking import MlflowClient

from assay.analysis.names import plan_names
from assay.analysis.results.reading import results_of_plan
from assay.analysis.results.results import StudyResults
from assay.analysis.summary import metric_summary
from assay.storage import Environment, Record, Store
from assay.storage.mlflow_sync_state import run_address
from assay.storage.plans import LEFT_OUT
from assay.storage.progress import Progress
from assay.study import Plan
from assay.tracking import MlflowSync, SyncReport, default_uri, ui_command, ui_environment
from assay.tracking.content import curve_points
from tests.analysis.made_studies import START, STUDY, lose, make_plan, make_record
from tests.helpers.ports import free_port
from tests.helpers.waiting import slowness, wait_for
from tests.tracking.postgres import has_postgres, postgres_database
from trainables.errors import InputError
from trainables.evaluation.heatmaps import Probe, maps_table

PLAN = make_plan(STUDY.replace("seeds: [0, 1, 2]", "seeds: [0, 1]"))


def curve() -> pa.Table:
    at = START.timestamp()
    rows = [{"epoch": float(e), "loss": 1 / (e + 1), "time": at + 5 * e, "seconds": 5.0} for e in range(3)]
    return pa.Table.from_pylist(rows)


def maps() -> pa.Table:
    heatmap = np.linspace(0, 1, 32 * 24, dtype=np.float32).reshape(32, 24)
    image = np.full((32, 24, 1), 120, np.uint8)
    probes = [Probe(f"part/{name}.png", True, "hole", 0.9, image, heatmap, heatmap > 0.7) for name in "ab"]
    return maps_table(probes, 0.5)


def fill(store: Store, plan: Plan = PLAN) -> dict[str, Record]:
    """Records with curves and maps for every trial; the last one diverged."""
    for trial in plan.trials:
        attempt = store.begin_attempt(trial.id, Environment())
        files = {
            f"{attempt.name}/{name}": store.write_table(f"{attempt.prefix}/{name}", table)
            for name, table in (("curve.parquet", curve()), ("maps.parquet", maps()))
        }
        store.write_record(make_record(trial, files=files, attempt=attempt.name))
    store.write_record(lose(plan.trials[-1], "diverged", "NaN loss at epoch 3"))
    return store.records(trial.id for trial in plan.trials)


@dataclass
class SyncedStudy:
    """A study in MLflow, and what its first syncs said."""

    uri: str
    store: Store
    client: MlflowClient
    reports: list[SyncReport]
    study: str = "additions"

    @property
    def experiment(self) -> str:
        found = self.client.get_experiment_by_name(self.study)
        assert found is not None
        return found.experiment_id

    def runs(self, kind: str) -> list[Any]:
        return list(self.client.search_runs([self.experiment], f"tags.`assay.kind` = '{kind}'"))

    def run(self, trial_id: str) -> Any:
        (run,) = self.client.search_runs([self.experiment], f"tags.`assay.trial` = '{trial_id}'")
        return run

    def records(self) -> dict[str, Record]:
        return self.store.records(trial.id for trial in PLAN.trials)

    def forget_sync_state(self) -> None:
        for name in self.store.list(f"studies/{self.study}"):
            self.store.delete_tree(f"studies/{self.study}/{name}")


@dataclass
class Changing(SyncedStudy):
    """A synced study of one test's own."""

    plan: Plan = PLAN
    mlflow_sync: MlflowSync = field(kw_only=True)

    def sync(self) -> SyncReport:
        return self.mlflow_sync.sync(results_of(self.store, self.plan))


def results_of(store: Store, plan: Plan = PLAN) -> StudyResults:
    return results_of_plan(plan, store)


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> SyncedStudy:
    store = Store(tmp_path_factory.mktemp("sqlite"))
    fill(store)
    uri = f"sqlite:///{store.local_path}/mlflow.db"
    mlflow_sync = MlflowSync(uri, store)
    first = StudyResults(PLAN, store.records([PLAN.trials[0].id]))
    reports = [mlflow_sync.sync(first), mlflow_sync.sync(results_of(store))]
    return SyncedStudy(uri, store, MlflowClient(uri), reports)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncedStudy]:
    """A server that is away at first and comes up later, with its runs in PostgreSQL where there is one."""
    folder = tmp_path_factory.mktemp("server")
    store, port = Store(folder / "storage"), free_port()
    fill(store)
    address = f"http://127.0.0.1:{port}"
    mlflow_sync = MlflowSync(address, store)
    begin = time.monotonic()
    away = mlflow_sync.sync(results_of(store))
    assert time.monotonic() - begin < 10 * slowness()
    own_file = nullcontext(f"sqlite:///{folder}/server.db")
    with (
        postgres_database() if has_postgres() else own_file as database,
        served(folder, database, port),
    ):
        yield SyncedStudy(address, store, MlflowClient(address), [away, mlflow_sync.sync(results_of(store))])


@contextmanager
def served(folder: Path, database: str, port: int) -> Iterator[None]:
    """MLflow's server on a database."""
    log = folder / "server.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            ui_command(port),
            cwd=folder,
            env={**os.environ, **ui_environment(database)},
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as server,
    ):
        try:
            wait_for(lambda: server.poll() is not None or answers(port), said=log.read_text)
            assert server.poll() is None, log.read_text()
            yield
        finally:
            server.terminate()


@pytest.fixture(params=["sqlite", "server"])
def synced(request: pytest.FixtureRequest) -> SyncedStudy:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def test_a_server_that_is_away_is_said_and_caught_up_with_later(server: SyncedStudy) -> None:
    away, replayed = server.reports
    assert away.away is not None
    assert not away.complete
    assert replayed == SyncReport(new=8)


def test_records_that_are_there_are_not_written_again(sqlite: SyncedStudy) -> None:
    assert sqlite.reports == [SyncReport(new=1), SyncReport(new=7, already=1)]


def test_trials_are_nested_under_cells_under_the_study(synced: SyncedStudy) -> None:
    cells = {run.info.run_id: run.data.tags["assay.cell"] for run in synced.runs("cell")}
    assert sorted(cells.values()) == sorted(cell.name for cell in PLAN.cells)
    for trial in PLAN.trials:
        run = synced.run(trial.id)
        assert cells[run.data.tags["mlflow.parentRunId"]] == trial.cell


def test_the_run_of_a_cell_has_its_name_in_words(synced: SyncedStudy) -> None:
    names = plan_names(PLAN)
    variants = {run.data.tags["assay.cell"]: run.data.tags["assay.variant"] for run in synced.runs("cell")}
    assert variants == {cell.name: names.variant(cell.name) for cell in PLAN.cells}


def test_the_studys_description_holds_question_and_table(synced: SyncedStudy) -> None:
    note = synced.client.get_experiment(synced.experiment).tags["mlflow.note.content"]
    assert note.startswith("Which addition pays?")
    assert "| supervision | stop |" in note


def test_final_metrics_equal_the_records(synced: SyncedStudy) -> None:
    for trial_id, record in synced.records().items():
        metrics = synced.run(trial_id).data.metrics
        expected = {} if record.result is None else record.result.metrics
        assert {k.removeprefix("test/"): v for k, v in metrics.items() if k.startswith("test/")} == expected
        if record.result is not None:
            assert metrics["validation/image_ap"] == record.result.validation["image_ap"]


def test_every_epoch_is_there_at_its_own_time(synced: SyncedStudy) -> None:
    run = synced.run(PLAN.trials[0].id)
    history = synced.client.get_metric_history(run.info.run_id, "epoch/loss")
    begin = round(START.timestamp() * 1000)
    assert [(m.step, m.value, m.timestamp) for m in history] == [
        (0, 1.0, begin), (1, 0.5, begin + 5000), (2, 1 / 3, begin + 10000),
    ]  # fmt: skip


def test_parameters_are_the_resolved_config_levels_and_repeat(synced: SyncedStudy) -> None:
    for trial in PLAN.trials:
        params = synced.run(trial.id).data.params
        assert params["seed"] == str(trial.seed)
        assert params["level.stop"] == trial.levels["stop"]
        assert params["config.gradient_stop"] == str(trial.levels["stop"] == "on").lower()
        assert params["config.lr"] == str(trial.config["lr"])
        assert {key for key in params if key.startswith("config.")} >= {
            f"config.{key}" for key in ("epochs", "delta")
        }
    few = next(trial for trial in PLAN.trials if trial.levels["supervision"] == "few")
    assert synced.run(few.id).data.params["supervision.mixed"] == "5"


def test_tags_say_how_and_where_a_trial_ran(synced: SyncedStudy) -> None:
    run = synced.run(PLAN.trials[0].id)
    expected = {
        "assay.study": "additions",
        "assay.node": "n1",
        "assay.commit": "abc",
        "assay.version.torch": "2.13.0",
    }
    assert expected.items() <= run.data.tags.items()
    assert (run.info.start_time, run.info.end_time) == (run.info.start_time, run.info.start_time + 30_000)


def test_a_diverged_trial_is_a_failed_run_with_its_reason(synced: SyncedStudy) -> None:
    run = synced.run(PLAN.trials[-1].id)
    assert run.info.status == "FAILED"
    assert run.data.tags["assay.reason"] == "NaN loss at epoch 3"


def test_overlay_pictures_and_the_record_are_artifacts(synced: SyncedStudy, tmp_path: Path) -> None:
    import cv2

    trial_id = PLAN.trials[0].id
    run_id = synced.run(trial_id).info.run_id
    names = [item.path for item in synced.client.list_artifacts(run_id, "overlays")]
    assert names == ["overlays/00-part_a.png", "overlays/01-part_b.png"]
    picture = cv2.imread(synced.client.download_artifacts(run_id, names[0], str(tmp_path)))
    assert picture is not None
    assert picture.shape == (32, 24, 3)
    assert (picture != picture[:, :, :1]).any()  # colour is drawn only by the overlay
    copy = Path(synced.client.download_artifacts(run_id, "record.json", str(tmp_path))).read_bytes()
    assert copy == synced.store.read_bytes(f"trials/{trial_id}/record.json")


def test_a_cells_run_holds_the_means_of_the_report(synced: SyncedStudy) -> None:
    parents = {run.data.tags["assay.cell"]: run for run in synced.runs("cell")}
    for summary in metric_summary(StudyResults(PLAN, synced.records()), "image_ap"):
        run = parents[summary.cell.name]
        assert run.data.metrics["test/image_ap"] == summary.mean
        assert run.data.metrics["n"] == summary.n
        assert run.info.status == "FINISHED"


def synced_anew(synced: SyncedStudy) -> SyncReport:
    return MlflowSync(synced.uri, synced.store).sync(results_of(synced.store))


def test_syncing_again_changes_nothing_also_without_the_sync_state(synced: SyncedStudy) -> None:
    def state() -> dict[str, Any]:
        return {run.info.run_id: run.data.metrics for kind in ("cell", "trial") for run in synced.runs(kind)}

    before = state()
    assert synced_anew(synced) == SyncReport(already=8)
    synced.forget_sync_state()
    assert synced_anew(synced) == SyncReport(already=8)
    assert state() == before


def test_a_trial_has_the_address_of_its_run_also_with_a_new_sync_state(synced: SyncedStudy) -> None:
    for _ in range(2):
        for trial in PLAN.trials:
            run = synced.run(trial.id).info
            address = run_address(synced.store, synced.study, trial.id)
            assert address is not None
            assert address.startswith(f"#/experiments/{run.experiment_id}/runs/{run.run_id}?")
        synced.forget_sync_state()
        assert run_address(synced.store, synced.study, PLAN.trials[0].id) is None
        synced_anew(synced)


@pytest.fixture
def changing(sqlite: SyncedStudy, tmp_path: Path, request: pytest.FixtureRequest) -> Changing:
    """A synced study of four trials that a test may change; a study of its own in the shared database."""
    name = f"s{zlib.crc32(request.node.name.encode())}"
    plan = make_plan(STUDY.replace("study: additions", f"study: {name}").replace("[0, 1, 2]", "[0]"))
    store = Store(tmp_path)
    fill(store, plan)
    study = Changing(
        sqlite.uri, store, sqlite.client, [], name, plan, mlflow_sync=MlflowSync(sqlite.uri, store)
    )
    assert study.sync() == SyncReport(new=4)
    return study


def test_a_replaced_record_replaces_its_run_and_the_mean(changing: Changing) -> None:
    last = changing.plan.trials[-1]
    changing.store.write_record(make_record(last, lambda _: {"image_ap": 0.25, "fp": 1.0}))
    assert changing.sync() == SyncReport(new=1, already=3)
    assert changing.run(last.id).data.metrics["test/image_ap"] == 0.25
    assert len(changing.runs("trial")) == 4
    (parent,) = (run for run in changing.runs("cell") if run.data.tags["assay.cell"] == last.cell)
    assert parent.data.metrics["test/image_ap"] == 0.25
    assert parent.data.metrics["n"] == 1


def test_a_run_that_was_cut_short_is_written_anew(changing: Changing) -> None:
    cut = changing.run(changing.plan.trials[0].id)
    changing.client.update_run(cut.info.run_id, status="RUNNING")
    changing.forget_sync_state()
    assert changing.sync() == SyncReport(new=1, already=3)
    assert changing.run(changing.plan.trials[0].id).info.run_id != cut.info.run_id


@dataclass
class Training(Changing):
    """A study of which one trial trains, with heartbeats as its curve has them."""

    def beat(self, epoch: int, loss: float | None = None, stage: str = "") -> Progress:
        """The heartbeat of the last trial after ``epoch`` of three epochs."""
        loss = 1 / epoch if loss is None and epoch else loss
        return Progress(
            trial=self.plan.trials[-1].id,
            epoch=epoch,
            epochs=3,
            metrics={} if loss is None else {"loss": loss},
            time=START.timestamp() + 5 * (epoch - 1),
            pid=7,
            host="h",
            stage=stage,
        )

    def run_now(self) -> Any:
        return self.run(self.plan.trials[-1].id)


@pytest.fixture
def training(changing: Changing) -> Training:
    study = Training(**vars(changing))
    record = study.store.records([study.plan.trials[-1].id])[study.plan.trials[-1].id]
    study.client.delete_run(study.run_now().info.run_id)
    study.store.forget_record(record.id, record.status)
    study.forget_sync_state()
    study.sync()
    return study


def epochs_of(study: Training) -> dict[int, float]:
    history = study.client.get_metric_history(study.run_now().info.run_id, "epoch/loss")
    return {point.step: point.value for point in history}


def test_a_run_grows_while_its_trial_trains_and_the_record_completes_it(training: Training) -> None:
    assert training.mlflow_sync.follow(
        [training.beat(0), training.beat(2, 0.5, stage="cam"), training.beat(1)]
    )
    growing = training.run_now()
    assert (growing.info.status, epochs_of(training)) == ("RUNNING", {0: 1.0})
    assert growing.data.params["seed"] == "0"
    training.mlflow_sync.follow([training.beat(2)])
    assert epochs_of(training) == {0: 1.0, 1: 0.5}

    trial = training.plan.trials[-1]
    attempt = training.store.begin_attempt(trial.id, Environment())
    written = training.store.write_table(f"{attempt.prefix}/curve.parquet", curve())
    files = {f"{attempt.name}/curve.parquet": written}
    training.store.write_record(make_record(trial, files=files, attempt=attempt.name))
    assert training.sync().new == 1
    assert training.run_now().info.run_id == growing.info.run_id
    assert training.run_now().info.status == "FINISHED"
    assert epochs_of(training) == {0: 1.0, 1: 0.5, 2: 1 / 3}


def test_a_run_that_contradicts_its_record_is_written_anew(training: Training) -> None:
    training.mlflow_sync.follow([training.beat(1, 0.7)])
    training.store.write_record(make_record(training.plan.trials[-1]))
    training.sync()
    assert "epoch/loss" not in training.run_now().data.metrics
    assert training.run_now().info.status == "FINISHED"


def test_a_trial_that_is_cut_short_is_a_killed_run_until_it_has_a_record(training: Training) -> None:
    training.mlflow_sync.follow([training.beat(1)])
    training.mlflow_sync.leave()
    cut = training.run_now()
    assert (cut.info.status, cut.data.tags["assay.status"]) == ("KILLED", "interrupted")
    training.store.write_record(make_record(training.plan.trials[-1]))
    assert training.sync().new == 1
    assert training.run_now().info.status == "FINISHED"


def test_a_trial_that_the_last_sync_did_not_know_asks_for_another(training: Training) -> None:
    assert not training.mlflow_sync.follow([training.beat(1).model_copy(update={"trial": "of-a-new-point"})])


def test_a_damaged_file_is_the_trouble_of_its_trial_only(changing: Changing) -> None:
    records = changing.store.records(trial.id for trial in changing.plan.trials)
    first, second, *_ = (records[trial.id] for trial in changing.plan.trials)
    changing.store.write_bytes(f"trials/{first.id}/{first.attempt}/maps.parquet", b"cut short")
    for record in (first, second):
        changing.store.write_record(record.model_copy(update={"attempts": 2}))
    report = changing.sync()
    assert (report.new, report.already, report.away) == (1, 2, None)
    assert [text.split(":")[0] for text in report.failed] == [first.id]
    assert "maps.parquet" in report.failed[0]
    assert not report.complete
    assert len(changing.runs("trial")) == 3, "no half a run is left of it"


def test_maps_that_stayed_out_of_a_bundle_keep_no_run_back(sqlite: SyncedStudy, tmp_path: Path) -> None:
    plan, store = make_plan(STUDY.replace("study: additions", "study: unpacked")), Store(tmp_path / "storage")
    maps = [f"trials/{record.id}/{record.attempt}/maps.parquet" for record in fill(store, plan).values()]
    for path in maps:
        store.delete_tree(path)
    (tmp_path / LEFT_OUT).write_text(json.dumps(dict.fromkeys(maps, 100)))
    report = MlflowSync(sqlite.uri, store).sync(results_of(store, plan))
    assert (report.new, report.failed) == (len(plan.trials), ())


def test_a_metric_whose_name_mlflow_refuses_is_there_under_one_that_it_takes(changing: Changing) -> None:
    trial, store = changing.plan.trials[0], changing.store
    attempt = store.begin_attempt(trial.id, Environment())
    odd = pa.table({"epoch": [0.0], "ünï côde/..//x\n": [1.0], "/./loss/": [2.0]})
    files = {f"{attempt.name}/curve.parquet": store.write_table(f"{attempt.prefix}/curve.parquet", odd)}
    store.write_record(make_record(trial, files=files, attempt=attempt.name))
    assert changing.sync() == SyncReport(new=1, already=3)
    metrics = changing.run(trial.id).data.metrics
    assert {name: value for name, value in metrics.items() if name.startswith("epoch/")} == {
        "epoch/ünï côde/_/_/x_": 1.0,
        "epoch/_/_/loss/_": 2.0,
    }


def test_a_sync_state_that_cannot_be_written_is_said_and_nothing_is_raised(changing: Changing) -> None:
    (state,) = (n for n in changing.store.list(f"studies/{changing.study}") if n.startswith("mlflow-"))
    changing.forget_sync_state()
    changing.store.write_bytes(f"studies/{changing.study}/{state}/x", b"a folder in its place")
    report = changing.sync()
    assert report.away is not None
    assert state in report.away


def test_a_curve_without_epoch_time_or_numbers_is_told_as_far_as_it_goes() -> None:
    curve = pa.Table.from_pylist([{"loss": 1.0, "note": "x"}, {"loss": None, "note": "y"}, {"loss": 0.5}])
    assert curve_points(curve, 7) == [("epoch/loss", 1.0, 7, 0), ("epoch/loss", 0.5, 7, 2)]


def test_an_experiment_that_was_made_anew_is_filled_again(changing: Changing) -> None:
    changing.client.rename_experiment(changing.experiment, f"old {changing.study}")
    assert changing.sync() == SyncReport(new=4)


def test_an_experiment_that_was_deleted_comes_back_without_double_runs(changing: Changing) -> None:
    last = changing.plan.trials[-1]
    changing.store.write_record(make_record(last))
    changing.sync()  # the old run of this trial lies among the deleted ones
    changing.client.delete_experiment(changing.experiment)
    assert changing.sync().complete
    assert len(changing.runs("trial")) == 4
    assert changing.run(last.id).info.status == "FINISHED"


def test_a_server_that_never_answers_is_left_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        begin = time.monotonic()
        uri = f"http://user:hunter2@127.0.0.1:{mute.getsockname()[1]}"
        report = MlflowSync(uri, Store(tmp_path)).sync(StudyResults(PLAN, {}))
        assert time.monotonic() - begin < 8 * slowness()
    assert report.away is not None
    assert "hunter2" not in report.away


def test_runs_go_to_the_named_store_else_beside_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert default_uri(Store(tmp_path)) == f"sqlite:///{tmp_path}/mlflow.db"
    assert default_uri(SimpleNamespace(local_path=None)) is None  # type: ignore[arg-type]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking")
    assert default_uri(Store(tmp_path)) == "http://tracking"


def test_the_pages_are_served_to_this_machine_only() -> None:
    command = ui_command(5001)
    assert command[:4] == [sys.executable, "-m", "mlflow", "server"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--workers") + 1] == "1"


def test_the_database_of_the_pages_stands_on_no_command_line() -> None:
    uri = "postgresql://me:hunter2@host/db"
    assert ui_environment(uri)["MLFLOW_BACKEND_STORE_URI"] == uri
    assert not [word for word in ui_command(5001) if "://" in word]


def test_a_server_is_not_served_a_second_time() -> None:
    with pytest.raises(InputError, match="open it in a browser") as refusal:
        ui_environment("http://me:hunter2@tracking")
    assert "hunter2" not in str(refusal.value)


def test_mlflow_is_imported_only_when_it_is_used() -> None:
    code = "import sys, assay.tracking; raise SystemExit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
