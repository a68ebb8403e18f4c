"""A study whose results lie on an S3 server, from its start to its report, killed and stopped on the way."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from assay.storage import Store
from tests.e2e.toy_program import ToyProgram
from tests.helpers.s3_server import CREDENTIALS, S3Server
from tests.helpers.waiting import wait_for

pytestmark = pytest.mark.ray

EPOCHS = 20  # of half a second until it was stopped: time to say so


class OnS3(NamedTuple):
    """What the path left behind."""

    program: ToyProgram
    server: S3Server
    store: Store
    stopped: str  # what the stopped run printed
    output: str  # what the last run printed
    requests: tuple[str, ...]  # of the last run


def _in_the_middle(program: ToyProgram, store: Store, attempt: int) -> bool:
    """Whether a trial is in the middle of its nth attempt: workers of a killed run live on for seconds."""
    if "toy" not in store.studies() or "plan.parquet" not in store.list("studies/toy"):
        return False
    beats = [store.progress(trial.id) for trial in program.plan(store).trials]
    return any(
        beat is not None and beat.attempt.startswith(f"{attempt:03d}-") and 2 <= beat.epoch <= EPOCHS - 4
        for beat in beats
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> Iterator[OnS3]:
    """Killed with -9 in the middle, run again and stopped, both without Ray; then run to its end with it."""
    folder = tmp_path_factory.mktemp("s3")
    with pytest.MonkeyPatch.context() as patch, S3Server(folder) as server:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        store = Store(server.uri())
        program = ToyProgram(folder, cache_root, server.uri(), CREDENTIALS, EPOCHS)

        first = program.start("run", str(program.file), "--local")
        wait_for(lambda: _in_the_middle(program, store, 1))
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
        assert program.records(store) == {}

        second = program.start("run", str(program.file), "--local")
        wait_for(lambda: _in_the_middle(program, store, 2))
        assert program.ask("stop", "toy").returncode == 0
        stopped, _ = second.communicate(timeout=60)
        assert second.returncode == 130, stopped

        program.release()
        before = len(server.requests())
        last = program.assay("run", str(program.file))
        assert last.returncode == 0, last.stdout + last.stderr
        requests = tuple(server.requests()[before:])
        yield OnS3(program, server, store, stopped, last.stdout, requests)


def test_a_killed_and_a_stopped_run_go_on_from_their_checkpoints(study: OnS3) -> None:
    assert "2 finished" in study.output
    first = study.program.plan(study.store).trials[0].id
    record = study.program.records(study.store)[first]
    assert record.attempts >= 2
    logs = [start.attempt for start in study.store.attempts(first)]
    text = study.store.read_bytes(f"trials/{first}/{logs[1]}/log.txt").decode()
    assert re.search(r"resumed after epoch \d+", text)
    assert "Traceback" not in study.stopped


def test_checkpoints_and_heartbeats_are_gone_and_all_that_records_name_is_there(study: OnS3) -> None:
    for trial, record in study.program.records(study.store).items():
        names = {*study.store.list(f"trials/{trial}")}
        assert names >= {"record.json", "attempts/", f"{record.attempt}/"}
        assert not names & {"checkpoint.safetensors", "progress.json", "stop.json"}
        for file in record.files:
            assert study.store.read_file(record, file.partition("/")[2]) is not None


def test_the_requests_of_a_trial_stay_few(study: OnS3) -> None:
    """A trial of a few seconds: what is asked in each second of it is bounded, whatever its epochs cost."""
    seconds = sum(
        (record.ended - record.started).total_seconds()  # type: ignore[operator]
        for record in study.program.records(study.store).values()
    )
    counts = Counter(re.sub(r"[0-9a-f]{16}|\d{3}-[0-9a-f]{8}", "*", request) for request in study.requests)
    ours = [request for request in counts if "/.tune/" not in request]
    assert not [request for request in ours if "?uploads" in request], "small objects go up in one request"
    by_kind = {
        kind: sum(count for request, count in counts.items() if kind in request)
        for kind in ("PUT /bucket/results/trials/*/progress.json", "PUT /bucket/results/trials/*/*/log.txt")
    }
    assert all(count <= seconds / 2 + 12 for count in by_kind.values()), by_kind


def test_running_again_trains_nothing(study: OnS3) -> None:
    again = study.program.ask("run", str(study.program.file))
    assert again.returncode == 0, again.stderr
    assert "0 trained now" in again.stdout
    assert "starting Ray" not in again.stdout


def test_status_report_and_logs_read_the_bucket(study: OnS3) -> None:
    assert "2 finished" in study.program.ask("status", "toy", "--once").stdout
    table = study.program.ask("report", "toy").stdout.partition("\n## Variants\n")[2].partition("\n#")[0]
    assert len([line for line in table.splitlines() if "| slow" in line]) == 1
    trial = study.program.plan(study.store).trials[0].id
    assert f"epoch {EPOCHS}/{EPOCHS}" in study.program.ask("logs", trial[:8]).stdout


def test_clean_frees_the_attempts_that_were_cut_short(study: OnS3) -> None:
    freed = study.program.ask("clean", "--yes")
    assert freed.returncode == 0, freed.stderr
    assert "freed" in freed.stdout
    for trial, record in study.program.records(study.store).items():
        folders = [name for name in study.store.list(f"trials/{trial}") if name.endswith("/")]
        assert sorted(folders) == sorted(["attempts/", f"{record.attempt}/"])


def test_without_a_tracking_uri_the_run_says_how_to_see_it_in_mlflow(study: OnS3) -> None:
    assert "no runs in MLflow" in study.output
    assert "--tracking-uri" in study.output
    refused = study.program.ask("mlflow", "--sync")
    assert refused.returncode == 2
    assert "has no place for MLflow's SQLite file" in refused.stderr


def test_mlflow_in_a_file_of_this_machine_holds_runs_and_pictures(study: OnS3, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    synced = study.program.ask("mlflow", "--sync", "--tracking-uri", uri)
    assert synced.returncode == 0, synced.stderr
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`assay.kind` = 'trial'")
    assert len(runs) == 2
    for run in runs:
        assert len(client.list_artifacts(run.info.run_id, "overlays")) == 2
    assert (tmp_path / "mlflow-artifacts" / "toy").is_dir()
    assert not (study.program.file.parent / "mlruns").exists()
