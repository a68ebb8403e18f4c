"""A program that is killed or stopped leaves no process, and running again ends with the same results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from assay.storage import Store
from assay.storage.stop import request_stop
from tests.engine.killing import KILLS, in_the_middle, undisturbed_results, without_ids
from tests.engine.toy_study import ToyStudy
from tests.waiting import wait_for

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

    def start(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "assay", "run", str(file), "--storage", str(study.storage), *options]
        environment = {**os.environ, "ASSAY_CACHE": str(cache_root)}
        environment.pop("RAY_ADDRESS", None)
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
    again = start()
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert without_ids(study) == undisturbed


@pytest.mark.parametrize("way", ["ctrl-c", "assay stop"])
def test_a_stopped_program_ends_with_130_and_leaves_no_process(
    program: tuple[ToyStudy, Callable[..., subprocess.Popen[str]]], way: str
) -> None:
    study, start = program
    process = start("--cpus", "1")
    wait_for(in_the_middle(study), process)
    family = psutil.Process(process.pid).children(recursive=True)
    if way == "ctrl-c":  # the terminal sends it to the whole group
        os.killpg(process.pid, signal.SIGINT)
    else:
        request_stop(study.store, "study", "kills")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    psutil.wait_procs(family, timeout=10)
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
