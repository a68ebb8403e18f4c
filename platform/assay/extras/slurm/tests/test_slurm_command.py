"""`assay slurm` without a cluster: what it refuses, writes and says; real jobs are in `test_slurm.py`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.small_study import Assay
from tests.helpers.waiting import wait_for


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (("--storage", "results"), "found results"),
        (("--storage", "/shared", "--data", "surfaces"), "--data of a submitted study is an absolute"),
        (("--storage", "/shared", "--python", "python3"), "--python of a submitted study is an absolute"),
        (("--storage", "/shared", "--sbatch", "--nodes=2\n--x"), "found a line break"),
        (("--storage", "/shared", "--script", "job.sh", "--follow"), "--follow is for a job"),
        (("--storage", "/shared", "--script", "job.sh", "--no-follow"), "--no-follow is for a job"),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_what_the_nodes_could_not_use_is_refused(
    assay: Assay, study_file: Path, options: tuple[str, ...], refusal: str
) -> None:
    answer = assay("slurm", study_file, *options)
    assert (answer.code, refusal in answer.err) == (2, True), answer.err


def test_without_slurm_a_script_can_be_written_and_nothing_submitted(
    assay: Assay, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/sbin")
    options = ("--storage", "/shared")
    answer = assay("slurm", study_file, *options)
    assert (answer.code, "by its command sbatch, found none" in answer.err) == (2, True)
    script = tmp_path / "small.sh"
    assert assay("slurm", study_file, *options, "--sbatch", "--time=8:00:00", "--script", script).code == 0
    text = script.read_text()
    assert "#SBATCH --time=8:00:00\n" in text
    assert f"run=(run {study_file} --storage /shared)\n" in text
    subprocess.run(["/bin/bash", "-n", script], check=True)


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Slurm with a queue that takes the job 7 and never begins it."""
    for name, says in {"sbatch": "7", "scontrol": "JobState=PENDING ExitCode=0:0 StdOut=/log"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho {says}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


_WAYS_ON = """\
see how far it is:  assay status small --storage /shared
see what it prints: tail -F /log
stop it:            assay stop small --storage /shared
before it begins:   scancel 7
"""


@pytest.mark.usefixtures("slurm")
def test_a_job_that_waits_in_a_queue_is_stopped_there(assay: Assay, study_file: Path) -> None:
    answer = assay("slurm", study_file, "--storage", "/shared", "--no-follow")
    assert (answer.code, answer.out) == (0, f"job 7\n{_WAYS_ON}")


@pytest.mark.usefixtures("slurm")
def test_ctrl_c_ends_the_following_and_not_the_job(study_file: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "assay", "slurm", study_file, "--storage", "/shared"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    shown = [process.stdout.readline(), process.stdout.readline()]
    assert shown == ["job 7\n", "job 7: pending ()\n"]
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert (process.returncode, output) == (130, f"\nthe job runs on\n{_WAYS_ON}")


@pytest.mark.parametrize(
    ("sbatch", "told"),
    [
        ("sleep 1; echo 7", "job 7 was there, and was cancelled"),
        ("sleep 1; exit 1", "nothing was submitted"),
        ("sleep 60; echo 7", "Slurm does not say whether there is a job. See, and cancel it:  squeue --me"),
    ],
)
@pytest.mark.usefixtures("slurm")
def test_ctrl_c_while_slurm_takes_the_job_says_what_became_of_it(
    study_file: Path, tmp_path: Path, sbatch: str, told: str
) -> None:
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n{sbatch}\n")
    (tmp_path / "scancel").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/cancelled\n')
    (tmp_path / "scancel").chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "assay", "slurm", study_file, "--storage", "/shared"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait_for((tmp_path / "asked").exists, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output = process.communicate(timeout=60)[0]
    assert (process.returncode, output) == (130, f"{told}\ninterrupted\n")
    assert (tmp_path / "cancelled").exists() is ("was cancelled" in told)


def test_a_folder_that_is_missing_is_made_with_the_script(
    assay: Assay, study_file: Path, tmp_path: Path
) -> None:
    script = tmp_path / "new" / "folder" / "job.sh"
    assert assay("slurm", study_file, "--storage", "/shared", "--script", script).code == 0
    assert script.read_text().startswith("#!/bin/bash")


def test_the_study_is_not_written_over(assay: Assay, study_file: Path) -> None:
    before = study_file.read_text()
    answer = assay("slurm", study_file, "--storage", "/shared", "--script", study_file)
    assert (answer.code, "what is read is not written over" in answer.err) == (2, True)
    assert study_file.read_text() == before
