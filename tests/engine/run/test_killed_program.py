"""A program that is killed or stopped leaves no process, and running again ends with the same results."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from assay.storage import Store
from assay.storage.lease import holder
from tests.engine.run.killing import KILLS, find_process, in_the_middle, undisturbed_results, without_ids
from tests.engine.toy_study import ToyStudy
from tests.helpers.waiting import slowness, wait_for

Toy = Callable[..., ToyStudy]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> dict[str, object]:
    return undisturbed_results(tmp_path_factory.mktemp("undisturbed"), cache_root)


@pytest.fixture
def program(toy: Toy, cache_root: Path) -> Iterator[tuple[ToyStudy, Callable[[], subprocess.Popen[str]]]]:
    """``assay run`` of the kill tests' study as a program of its own, with its own Ray."""
    study = toy(**KILLS)
    file = study.storage.parent / "kills.yaml"
    file.write_text(study.text)
    started: list[subprocess.Popen[str]] = []

    def start(*options: str, ray_address: str = "") -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "assay", "run", str(file), "--storage", str(study.storage), *options]
        environment = {**os.environ, "ASSAY_CACHE": str(cache_root), "RAY_ADDRESS": ray_address}
        started.append(
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
                start_new_session=True,
            )
        )
        return started[-1]

    yield study, start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_after_kill_9_of_the_whole_program_running_again_gives_the_same_results(
    program: tuple[ToyStudy, Callable[..., subprocess.Popen[str]]], undisturbed: dict[str, object]
) -> None:
    study, start = program
    process = start()
    wait_for(in_the_middle(study), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not Store(study.storage).records(trial.id for trial in study.plan.trials)
    study.release()
    assert study.run(local=True, processes=0).finished == 2
    assert without_ids(study) == undisturbed


def test_after_ctrl_c_a_program_ends_with_130_and_leaves_no_process(
    program: tuple[ToyStudy, Callable[..., subprocess.Popen[str]]],
) -> None:
    study, start = program
    process = start("--cpus", "1")
    wait_for(in_the_middle(study), process)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # the terminal sends it to the whole group
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    psutil.wait_procs(family, timeout=10)
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


def test_a_run_that_still_starts_ray_is_stopped_in_order(
    program: tuple[ToyStudy, Callable[..., subprocess.Popen[str]]],
) -> None:
    study, start = program
    process = start()
    wait_for(lambda: find_process(process.pid, "gcs_server") is not None, process)
    family = psutil.Process(process.pid).children(recursive=True)
    gcs_server = find_process(process.pid, "gcs_server")
    assert gcs_server is not None
    gcs_server.suspend()  # Ray will never be there
    _stopped(process, study, "ctrl-c")
    psutil.wait_procs(family, timeout=10)
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.parametrize("way", ["ctrl-c", "assay stop"])
def test_a_run_that_still_joins_a_cluster_is_stopped_in_order(
    program: tuple[ToyStudy, Callable[..., subprocess.Popen[str]]], way: str
) -> None:
    study, start = program
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(120)
        process = start(ray_address=f"127.0.0.1:{silent.getsockname()[1]}")
        asked, _ = silent.accept()  # it sees whether a head listens
        with asked:
            _stopped(process, study, way)


def _stopped(process: subprocess.Popen[str], study: ToyStudy, way: str) -> None:
    """Stop a run before anything trains, and see that it ends as a stopped one."""
    asked = time.monotonic()
    if way == "ctrl-c":
        os.killpg(process.pid, signal.SIGINT)
    else:
        command = [sys.executable, "-m", "assay", "stop", "kills", "--storage", str(study.storage)]
        subprocess.run(command, check=True)
    output, _ = process.communicate(timeout=120)
    assert time.monotonic() - asked < 15 * slowness()
    assert process.returncode == 130, output
    # On a machine that stands still the ten seconds are over before there is a summary.
    assert "0 finished, 2 missing; 0 trained now" in output or (slowness() > 2 and "interrupted" in output)
    assert "Traceback" not in output
    assert holder(study.store, "kills") is None
