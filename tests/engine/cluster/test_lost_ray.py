"""A part of Ray that is killed under a study: named at once, nothing left, and the next run goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from assay.engine.cluster import ray_head
from assay.engine.cluster.local_ray import LocalRay
from tests.engine.run.killing import find_process
from tests.engine.toy_study import ToyStudy
from tests.helpers.waiting import wait_for

_PATIENCE = 180.0  # seconds, on a busy machine
# A part of the command line of what is killed, by its name.
PARTS = {
    "gcs_server": "/gcs/gcs_server",
    "raylet": "/raylet/raylet",
    "RuntimeEnvAgent": "ray::RuntimeEnvAgent",
    "the process that keeps the others": "ray_head.py",
}


@pytest.mark.parametrize("start", ["lean", "public"])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_ray_that_dies_is_named_and_leaves_no_process(
    part: str, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_RAY_START", start)
    ray = LocalRay.start(1)
    losses: list[str] = []
    ray.on_loss = losses.append
    try:
        family = [psutil.Process(pid) for pid in [ray.child.pid, *ray_head._session(ray.child.pid)]]
        next(one for one in family if PARTS[part] in " ".join(one.cmdline()[:3])).kill()
        wait_for(lambda: bool(losses))
        assert re.match(rf"{part}.* of Ray ended \(", losses[0])
        assert _left(family) == []
    finally:
        ray.end()


def _held(storage: Path, cache: Path) -> ToyStudy:
    return ToyStudy.make(storage, cache, name="lost", seeds=(0,), seconds=0.8, held=True, pack="1", epochs=12)


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
    wait_for(lambda: find_process(process.pid, "ray::BatchDriver") is not None, process)
    return process, psutil.Process(process.pid).children(recursive=True)


def _left(family: list[psutil.Process]) -> list[str]:
    psutil.wait_procs(family, timeout=5)
    return [str(one) for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_a_run_whose_ray_dies_ends_at_once_with_a_code_of_its_own_and_the_next_one_goes_on(
    tmp_path: Path, cache_root: Path
) -> None:
    study = _held(tmp_path / "storage", cache_root)
    process, family = _start_training(study)
    raylet = find_process(process.pid, PARTS["raylet"])
    assert raylet is not None
    raylet.kill()
    killed = time.monotonic()
    output, _ = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 3, output
    assert re.search(r"^error: raylet of Ray ended \(.*\), and with it the run\.", output, re.MULTILINE)
    assert "Traceback" not in output
    assert time.monotonic() - killed < 30
    assert _left(family) == []

    study.release()
    assert study.run(local=True, processes=0).finished == 2
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
