"""A part of Ray that is killed under a study: named at once, nothing left, and the next run goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.engine.killing import find_process
from tests.engine.toy_study import ToyStudy
from tests.waiting import wait_for

_PATIENCE = 180.0  # seconds, on a busy machine
# A part of the command line of what is killed, by its name.
PARTS = {
    "gcs_server": "/gcs/gcs_server",
    "raylet": "/raylet/raylet",
    "RuntimeEnvAgent": "ray::RuntimeEnvAgent",
    "the process that keeps the others": "ray_head.py",
}


class _Loss(NamedTuple):
    """A run under which something was killed."""

    code: int
    output: str
    seconds: float  # from the kill to the end
    left: list[str]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> ToyStudy:
    return _held(tmp_path_factory.mktemp("lost") / "storage", cache_root)


def _held(storage: Path, cache: Path) -> ToyStudy:
    return ToyStudy.make(storage, cache, name="lost", seeds=(0,), seconds=0.8, held=True, pack="1", epochs=12)


@pytest.fixture(scope="module")
def losses(study: ToyStudy) -> dict[str, _Loss]:
    """One study that loses one part of Ray after the other, each in a run of its own, while it trains."""
    return {part: _lose(study, part) for part in PARTS}


def _start(study: ToyStudy) -> subprocess.Popen[str]:
    file = study.storage.parent / "lost.yaml"
    file.write_text(study.text)
    environment = {**os.environ, "ASSAY_CACHE": str(study.cache)}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [sys.executable, "-m", "assay", "run", str(file), "--storage", str(study.storage), "--cpus", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )


def _start_training(study: ToyStudy) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start the program, and wait until Ray trains; returns it with all processes below it."""
    process = _start(study)
    wait_for(lambda: find_process(process.pid, "ray::ResourceTrainable") is not None, process)
    return process, psutil.Process(process.pid).children(recursive=True)


def _left(family: list[psutil.Process]) -> list[str]:
    psutil.wait_procs(family, timeout=5)
    return [str(one) for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def _lose(study: ToyStudy, part: str) -> _Loss:
    process, family = _start_training(study)
    victim = find_process(process.pid, PARTS[part])
    assert victim is not None
    victim.kill()
    killed = time.monotonic()
    output, _ = process.communicate(timeout=_PATIENCE)
    seconds = time.monotonic() - killed
    return _Loss(process.returncode, output, seconds, _left(family))


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_ray_that_dies_ends_the_run_with_its_name_and_a_code_of_its_own(
    losses: dict[str, _Loss], part: str
) -> None:
    loss = losses[part]
    assert loss.code == 3, loss.output
    assert re.search(
        rf"^error: {part}.* of Ray ended \(.*\), and with it the run\.", loss.output, re.MULTILINE
    )
    assert "Traceback" not in loss.output


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_ray_that_dies_leaves_no_process_and_no_wait(losses: dict[str, _Loss], part: str) -> None:
    assert losses[part].left == []
    assert losses[part].seconds < 30


def test_after_all_these_deaths_the_next_run_ends_with_the_results_of_an_undisturbed_one(
    study: ToyStudy, losses: dict[str, _Loss], tmp_path: Path
) -> None:
    study.release()
    process = _start(study)
    output, _ = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 0, output
    calm = ToyStudy(tmp_path / "calm", study.cache, study.text)
    assert calm.run(local=True, processes=0).finished == 2
    assert study.results() == calm.results()


def test_a_stop_that_reaches_rays_processes_too_is_an_interruption(tmp_path: Path, cache_root: Path) -> None:
    """systemd and Slurm send SIGTERM to every process of a service."""
    process, family = _start_training(_held(tmp_path / "stopped", cache_root))
    process.send_signal(signal.SIGTERM)
    for member in family:
        member.terminate()
    output, _ = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert _left(family) == []
