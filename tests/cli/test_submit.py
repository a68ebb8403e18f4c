"""What `assay submit` refuses before anything is sent; jobs themselves: tests/engine/cluster."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import ray

from tests.cli.small_study import Assay
from tests.helpers.waiting import wait_for


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
            "--tracking-uri holds no credentials",
        ),
        (("--storage", "/shared"), "none is named"),
        (("--storage", "/shared", "--address", "http://127.0.0.1:1"), "does not answer"),
        (("--storage", "/shared", "--address", "nonsense"), "does not answer"),
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


def _submits(study_file: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "assay", "submit", study_file, "--storage", "/shared", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


class _SlowCluster(ThreadingHTTPServer):
    """What a cluster's dashboard answers to a submission; one request it takes and does not answer."""

    daemon_threads = True

    def __init__(self, hangs: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.hangs = hangs  # method and path of that request, a pattern
        self.asked = threading.Event()
        self.jobs: set[str] = set()
        self.stopped: set[str] = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Answers(BaseHTTPRequestHandler):
    server: _SlowCluster

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        known = {"/api/version": (200, {"ray_version": ray.__version__, "version": "4"})}
        status, answer = known.get(self.path, (404, {}))
        if self.path.startswith("/api/packages/") and self.command == "PUT":
            status = 200
        if self.path == "/api/jobs/":
            self.server.jobs.add(json.loads(body)["submission_id"])
        job = self.path.removesuffix("/stop").rpartition("/")[2]
        if self.path.endswith("/stop") and job in self.server.jobs:
            self.server.stopped.add(job)
            status, answer = 200, {"stopped": True}
        if re.fullmatch(self.server.hangs, f"{self.command} {self.path}"):
            self.server.asked.set()
            threading.Event().wait()
        text = json.dumps(answer) if status == 200 else f"Job {job} does not exist"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_PUT = do_POST = _answer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[_SlowCluster]:
    with _SlowCluster(request.param) as server:
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("cluster", "told"),
    [("PUT /api/packages/.*", "nothing was submitted"), ("POST /api/jobs/", "it was, and was stopped")],
    indirect=["cluster"],
    ids=["its code is uploaded", "it is handed over"],
)
def test_ctrl_c_while_a_cluster_takes_the_job_leaves_none_there(
    study_file: Path, cluster: _SlowCluster, told: str
) -> None:
    process = _submits(study_file, "--address", f"http://127.0.0.1:{cluster.server_port}")
    wait_for(cluster.asked.is_set, process)
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert output.startswith("asking the cluster whether job assay-small-")
    assert "Without an answer, stop it:  ray job stop assay-small-" in output
    assert output.endswith(f"{told}\ninterrupted\n"), output
    assert cluster.stopped == cluster.jobs


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
