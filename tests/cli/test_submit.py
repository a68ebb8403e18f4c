"""What `assay submit` refuses before anything is sent; jobs themselves: tests/engine/test_cluster.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.small_study import Assay


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--storage", "results"), "found results"),
        (("--storage", "s3://key:hunter2@bucket/assay"), "holds no credentials"),
        (("--storage", "/shared", "--data", "surfaces"), "--data of a submitted study is an absolute"),
        (("--storage", "/shared", "--cache", "cache"), "--cache of a submitted study is an absolute"),
        (
            ("--storage", "/shared", "--python", "python3"),
            "--python of a submitted study is an absolute",
        ),
        (
            ("--storage", "/shared", "--tracking-uri", "http://me:hunter2@mlflow"),
            "MLFLOW_TRACKING_URI on the",
        ),
        (("--storage", "/shared"), "none is named"),
        (("--storage", "/shared", "--address", "http://127.0.0.1:1"), "does not answer"),
        (("--storage", "/shared", "--address", "nonsense"), "does not answer"),
        (("--storage", "/shared", "--slurm", "--address", "http://a:1"), "found --address and --slurm"),
        (("--storage", "/shared", "--sbatch", "--nodes=2"), "--sbatch goes with --slurm"),
        (("--storage", "/shared", "--slurm", "--sbatch", "--nodes=2\n--x"), "found a line break"),
        (("--storage", "/shared", "--kuberay", "job.yaml"), "found no --image"),
        (("--storage", "/shared", "--kuberay", "job.yaml", "--no-follow"), "--no-follow is for a job"),
        (("--storage", "/shared", "--slurm", "--script", "job.sh", "--follow"), "--follow is for a job"),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_what_the_nodes_could_not_use_is_refused(
    assay: Assay, study_file: Path, options: tuple[str, ...], said: str
) -> None:
    answer = assay("submit", study_file, *options)
    assert answer.code == 2
    assert said in answer.err
    assert "hunter2" not in answer.err


def test_without_slurm_a_script_can_be_written_and_nothing_submitted(
    assay: Assay, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/sbin")
    options = ("--storage", "/shared", "--slurm")
    answer = assay("submit", study_file, *options)
    assert (answer.code, "by its command sbatch, found none" in answer.err) == (2, True)
    script = tmp_path / "small.sh"
    assert assay("submit", study_file, *options, "--sbatch", "--time=8:00:00", "--script", script).code == 0
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
    answer = assay("submit", study_file, "--storage", "/shared", "--slurm", "--no-follow")
    assert (answer.code, answer.out) == (0, f"job 7\n{_WAYS_ON}")


@pytest.mark.usefixtures("slurm")
def test_ctrl_c_ends_the_following_and_not_the_job(study_file: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "assay", "submit", study_file, "--storage", "/shared", "--slurm"],
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


def test_a_refused_submission_leaves_the_environment_as_it_was(assay: Assay, study_file: Path) -> None:
    before = dict(os.environ)
    assay("submit", study_file, "--storage", "/shared", "--address", "http://127.0.0.1:1")
    assert dict(os.environ) == before  # else a Ray started later would ask for a token that nobody made


def test_a_study_that_breaks_a_rule_is_refused_before_the_cluster_is_asked(
    assay: Assay, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("study: small\nquestin: why?\n", encoding="utf-8")
    answer = assay("submit", bad, "--storage", "/shared", "--address", "http://127.0.0.1:1")
    assert answer.code == 2
    assert f"{bad}:2:1: questin" in answer.err
