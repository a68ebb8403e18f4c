"""Whatever is killed, running again ends with the results of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from assay.storage import Store
from assay.storage.stop import request_stop
from tests.engine.toy_study import ToyStudy

Toy = Callable[..., ToyStudy]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> dict[str, object]:
    """Results of the kill tests' study when nothing happens to it: trained without Ray, in this process."""
    study = ToyStudy.make(
        tmp_path_factory.mktemp("undisturbed"), cache_root, name="kills", seeds=(0,), pack="2", epochs=6
    )
    study.run(local=True, processes=0)
    return _without_ids(study)


def _without_ids(study: ToyStudy) -> dict[str, object]:
    """Results by cell: the pace of an epoch is part of the id, and differs between slow and quick runs."""
    records = study.records()
    return {trial.cell: records[trial.id].result for trial in study.plan.trials}


def kill_first(title: str, root: int, when: Callable[[], bool]) -> list[int]:
    """kill -9 the first process below ``root`` whose title begins with ``title``, once ``when`` holds.

    Returns:
        A list that will hold its pid.
    """
    killed: list[int] = []

    def watch() -> None:
        while not when():
            time.sleep(0.05)
        for process in psutil.Process(root).children(recursive=True):
            if " ".join(process.cmdline()).startswith(title):
                process.send_signal(signal.SIGKILL)
                killed.append(process.pid)
                return

    threading.Thread(target=watch, daemon=True).start()
    return killed


def _in_the_middle(study: ToyStudy) -> Callable[[], bool]:
    """True once a trial has finished two epochs (the first is then surely kept) and not yet all."""

    def look() -> bool:
        beats = [study.store.progress(trial.id) for trial in study.plan.trials]
        return any(beat is not None and 2 <= beat.epoch <= 4 for beat in beats)

    return look


@pytest.mark.ray
@pytest.mark.usefixtures("free_cluster")
@pytest.mark.parametrize(
    ("title", "workers"),
    [("ray::ResourceTrainable", 1), ("ray::RayTrainWorker", 2)],
)
def test_a_killed_ray_process_changes_no_result(
    toy: Toy, undisturbed: dict[str, object], title: str, workers: int
) -> None:
    study = toy(name="kills", seeds=(0,), seconds=0.8, pack="2", epochs=6, workers=workers)
    killed = kill_first(title, os.getpid(), _in_the_middle(study))
    outcome = study.run()
    assert len(killed) == 1, f"no process {title} was there to kill"
    assert (outcome.finished, outcome.missing) == (2, 0), outcome
    if workers == 1:  # two workers add in another order: equal to 1e-5, not in every bit
        assert _without_ids(study) == undisturbed
    first = study.plan.trials[0].id
    logs = sorted(study.storage.glob(f"trials/{first}/*/log.txt"))
    assert len(logs) == 2, "the killed trial had two attempts"
    resumed = [line.split("  ")[1] for line in logs[-1].read_text().splitlines()]
    epoch = int(next(line for line in resumed if line.startswith("resumed")).rpartition(" ")[2])
    assert next(line for line in resumed if line.startswith("epoch")) == f"epoch {epoch + 1}/6"


@pytest.mark.ray
@pytest.mark.usefixtures("free_cluster")
@pytest.mark.parametrize("title", ["ray::RayTrainWorker", "ray::ResourceTrainable"])
def test_a_process_that_is_killed_in_its_second_pack_gives_back_its_cores(toy: Toy, title: str) -> None:
    study = toy(name="kills", seeds=(0,), seconds=0.8, pack="1", epochs=6, workers=2)
    first, second = study.plan.trials

    def in_the_second() -> bool:
        beat = study.store.progress(second.id)
        return beat is not None and 2 <= beat.epoch <= 4

    killed = kill_first(title, os.getpid(), in_the_second)
    assert study.run().finished == 2
    assert len(killed) == 1, f"no process {title} was there to kill"
    records = study.records()
    assert [records[trial.id].attempts for trial in (first, second)] == [1, 2]


@pytest.fixture
def program(toy: Toy, cache_root: Path) -> Iterator[tuple[ToyStudy, Callable[[], subprocess.Popen[str]]]]:
    """``assay run`` of the kill tests' study as a program of its own, with its own Ray."""
    study = toy(name="kills", seeds=(0,), seconds=0.8, pack="2", epochs=6)
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
    _wait_for(_in_the_middle(study))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not Store(study.storage).records(trial.id for trial in study.plan.trials)
    again = start()
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert _without_ids(study) == undisturbed


@pytest.mark.parametrize("way", ["ctrl-c", "terminate", "assay stop"])
def test_a_stopped_program_ends_with_130_and_leaves_no_process(
    program: tuple[ToyStudy, Callable[..., subprocess.Popen[str]]], way: str
) -> None:
    study, start = program
    process = start("--cpus", "1")
    _wait_for(_in_the_middle(study))
    family = psutil.Process(process.pid).children(recursive=True)
    if way == "ctrl-c":  # the terminal sends it to the whole group
        os.killpg(process.pid, signal.SIGINT)
    elif way == "terminate":
        process.send_signal(signal.SIGTERM)
    else:
        request_stop(study.store, "study", "kills")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    psutil.wait_procs(family, timeout=10)
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


def _wait_for(condition: Callable[[], bool], seconds: float = 180.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "the study did not get going"
        time.sleep(0.1)
