"""`assay slurm` on a real Slurm with two nodes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from assay.engine.cluster.local_ray import DRIVER_SETTINGS
from assay.extras.slurm.job import slurm_script, submit_script
from assay.extras.slurm.tests.real_slurm import Slurm
from tests.engine.toy_study import ToyStudy
from tests.helpers.waiting import wait_for
from trainables.errors import InputError


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    # Jobs inherit the environment, and with what a Ray of this process has set there, which other tests keep,
    # theirs would stay on one machine.
    with pytest.MonkeyPatch.context() as environment:
        for name in DRIVER_SETTINGS:
            environment.delenv(name, raising=False)
        cluster = Slurm()
        yield cluster
        cluster.close()


@pytest.fixture
def here(slurm: Slurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Slurm:
    """The Slurm that commands of this process ask."""
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    folder = tmp_path / "my folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return slurm


@pytest.mark.timeout(900)
def test_a_study_that_is_told_to_end_goes_on_when_it_is_submitted_again_on_all_nodes_and_leaves_no_process(
    here: Slurm, tmp_path: Path, cache_root: Path
) -> None:
    """The signal is the one of ``--signal``; Slurm itself looks every 30 s which limits are near."""
    # Trials of two workers, which one node has no cores for.
    level = "length: {long: {config: {lr: 0.05}}}"
    settings = {"seeds": (0,), "workers": 2, "epochs": 4, "seconds": 2.5, "factor": level}
    study = ToyStudy.make(tmp_path / "storage", cache_root, held=True, **settings)
    [trial] = study.plan.trials
    file = tmp_path / "toy.yaml"
    file.write_text(study.text)
    places = ["--storage", str(study.storage), "--cache", str(cache_root)]
    said: list[str] = []

    script = slurm_script("toy", file, places, python=sys.executable, options="--nodes=2")
    first = submit_script(script, print)
    with ThreadPoolExecutor() as threads:
        ended = threads.submit(first.follow, said.append)
        # Slurm, two Rays and Train's workers start one after the other, beside what other tests start.
        wait_for(lambda: any(study.storage.rglob("checkpoint*")), said=lambda: "".join(said), seconds=400)
        here.ask("scancel", "--batch", "--signal=TERM", first.id)
        assert ended.result(120) == 130, "".join(said)
    assert not study.records()

    study.release()
    again = subprocess.run(
        [sys.executable, "-m", "assay", "slurm", str(file), *places, "--sbatch", "--nodes=2"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=here.environment,
        check=False,
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert "1 finished; 1 trained now" in again.stdout
    record = study.records()[trial.id]
    assert (record.status, record.attempts) == ("finished", 2)
    assert len({worker.node for worker in record.environment.workers}) == 2
    log = study.store.read_bytes(f"trials/{trial.id}/{record.attempt}/log.txt").decode()
    assert "resumed after epoch" in log
    wait_for(lambda: here.ask("sinfo", "--noheader", "-o", "%D %t") == "2 idle")
    assert not _of_jobs(here)


@pytest.mark.timeout(300)
def test_a_job_whose_ray_does_not_start_ends_and_says_so(here: Slurm, tmp_path: Path) -> None:
    """The node's Ray ends at once, because this ``ray`` beside the job's Python is none."""
    python, ray = tmp_path / "python", tmp_path / "ray"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    ray.write_text("#!/bin/sh\necho no room for Ray here\nexit 1\n")
    for program in (python, ray):
        program.chmod(0o755)
    said: list[str] = []
    script = slurm_script("toy", tmp_path / "toy.yaml", [], python=str(python), options="")
    assert submit_script(script, print).follow(said.append) == 2, "".join(said)
    assert "no room for Ray here" in "".join(said)
    assert "error: Ray did not start on all 1 nodes of job" in "".join(said)


def _of_jobs(slurm: Slurm) -> list[str]:
    """Commands of the processes that jobs of this Slurm began."""
    commands: list[str] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            variables = process.environ()
            if variables.get("SLURM_CONF") == slurm.environment["SLURM_CONF"] and "SLURM_JOB_ID" in variables:
                commands.append(" ".join(process.cmdline()))
    return commands


def _script(options: str) -> str:
    return slurm_script("toy", Path("/shared/toy.yaml"), [], python="/opt/python", options=options)


def test_a_job_that_slurm_ends_is_an_interrupted_run(here: Slurm) -> None:
    job = submit_script(_script("--begin=now+1hour"), print)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if "pending" in text:
            here.ask("scancel", job.id)

    assert job.follow(say) == 130
    assert said == [f"job {job.id}: pending (BeginTime)\n", f"job {job.id}: cancelled\n"]


def test_what_slurm_refuses_is_said_in_its_words(here: Slurm) -> None:
    with pytest.raises(InputError, match=r"refuses the job: .* invalid partition specified: none"):
        submit_script(_script("--partition=none"), print)
