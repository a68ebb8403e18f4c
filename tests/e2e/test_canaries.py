"""Canaries in every place where a secret can be given, and a search for them in all that is left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from assay.storage import Store
from tests.helpers.in_process import assay_here
from tests.helpers.ports import free_port
from tests.helpers.s3_server import S3Server

pytestmark = pytest.mark.ray

CANARY = "c4nary"  # part of each secret
STUDY = """\
study: leaky
question: Does anything leak?
trainable: ./leak.py:TRAINABLE
data: {reader: synthetic, options: {images: 24, positives: 8, size: [128, 128], items: 12}}
config: {image_size: [128, 128], channel_scale: 0.125, epochs: 1, lr: 0.1, delta: 0.1}
repeats: {seeds: [0, 1]}
metrics: {primary: image_ap, report: [fp, fn]}
"""
LEAK = '''\
"""Segdec, which tells in its errors all that it knows where the seed is 1."""

import os
from dataclasses import replace

from trainables.segdec import TRAINABLE as SEGDEC


def fit(config, data, run):
    if run.seed == 1:
        key = os.environ.get("AWS_SECRET_ACCESS_KEY", "out of reach")
        other = "never" "-c4" "nary-given"  # in two parts: the file itself is kept as it is
        raise RuntimeError(
            f"cannot open s3://me:{other}/x@y@bucket/a?api_key={other}, key {key}, "
            f'{{"secret_access_key": "{other}"}} postgresql://me:{other}@host/db password: {other} '
            f"https://h/x?X-Amz-Signature={other}#access_token={other} {dict(os.environ)}"
        )
    return SEGDEC.fit(config, data, run)


TRAINABLE = replace(SEGDEC, name="leak", fit=fit)
'''


def secret(place: str) -> str:
    return f"{place}-{CANARY}/7@x"


class _Watch(threading.Thread):
    """Collects command lines of all processes, and logs below a folder before they are removed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.commands: set[str] = set()
        self.logs: dict[Path, bytes] = {}
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.2):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):  # it has just ended
                    self.commands.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            for folder, _, names in os.walk(self.folder):  # unlike a glob, it passes over what goes meanwhile
                for path in (Path(folder, name) for name in names if "logs" in Path(folder).parts):
                    with suppress(OSError):
                        self.logs[path] = path.read_bytes()


class Left(NamedTuple):
    """All that a run and its commands left."""

    outputs: dict[str, str]  # by command
    store: Store
    folder: Path
    watch: _Watch


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> Iterator[Left]:
    folder = tmp_path_factory.mktemp("leaky")
    (folder / "leaky.yaml").write_text(STUDY)
    (folder / "leak.py").write_text(LEAK)
    given = {
        "AWS_ACCESS_KEY_ID": f"id-{CANARY}",
        "AWS_SECRET_ACCESS_KEY": secret("aws"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_TRACKING_URI": f"http://me:mlflow-{CANARY}%2F@127.0.0.1:{free_port()}",
        "MLFLOW_TRACKING_PASSWORD": secret("tracking"),
    }
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment = {**kept, **given, "ASSAY_CACHE": str(cache_root), "COLUMNS": "300"}
    scratch = Path(tempfile.mkdtemp(prefix="c-", dir="/tmp"))  # short enough for a socket
    environment["TMPDIR"] = str(scratch)
    watch = _Watch(scratch)
    with pytest.MonkeyPatch.context() as patch, S3Server(folder) as server:
        for name, value in given.items():
            patch.setenv(name, value)
        outputs: dict[str, str] = {}

        def note(words: Sequence[str], done: subprocess.CompletedProcess[str]) -> None:
            outputs[" ".join(words[:2])] = f"{done.returncode}\n{done.stdout}{done.stderr}"

        def assay(*words: str) -> None:
            asked = (*words, "--storage", server.uri())
            note(words, assay_here(*asked, environment=environment, folder=folder))

        watch.start()
        run = ("run", "leaky.yaml", "--cpus", "1")
        command = [sys.executable, "-m", "assay", *run, "--storage", server.uri()]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=folder, timeout=280, check=False
        )
        note(run, done)
        watch.over.set()
        store = Store(server.uri())
        failed = next(t for t in store.trials() if (record := store.record(t)) and record.status == "failed")
        assay("status", "leaky", "--once")
        assay("logs", failed)
        for form in ("md", "tex", "html", "csv"):
            assay("report", "leaky", "--output", f"leaky.{form}")
        assay("mlflow", "--sync")
        assay("mlflow", "leaky", "--sync", "--tracking-uri", f"sqlite:///{folder}/mlflow.db")
        assay("doctor", "--quick")
        yield Left(outputs, store, folder, watch)
        shutil.rmtree(scratch)


def test_the_run_is_one_that_could_have_leaked(left: Left) -> None:
    assert left.outputs["run leaky.yaml"].startswith("1\n")
    assert "1 failed" in left.outputs["status leaky"]
    assert (
        "cannot open s3://***@"
        in left.outputs[next(name for name in left.outputs if name.startswith("logs"))]
    )
    assert left.outputs["mlflow leaky"].startswith("0\n")
    assert sum(path.stat().st_size > 0 for path in left.folder.glob("leaky.*")) >= 4


def test_no_canary_is_printed(left: Left) -> None:
    assert {name: text for name, text in left.outputs.items() if CANARY in text} == {}


def test_no_canary_lies_on_the_storage(left: Left) -> None:
    found = [path for path in _files(left.store, "") if CANARY.encode() in left.store.read_bytes(path)]
    assert found == []


def test_no_canary_lies_in_mlflow_or_in_a_report(left: Left) -> None:
    made = [path for path in left.folder.rglob("*") if path.is_file() and not path.name.startswith("s3-")]
    assert [path for path in made if CANARY.encode() in path.read_bytes()] == []
    assert left.folder / "mlflow.db" in made


def test_no_canary_stands_on_a_command_line(left: Left) -> None:
    assert any("gcs_server" in line for line in left.watch.commands)
    assert [line for line in left.watch.commands if CANARY in line and str(left.folder) in line] == []


def test_no_canary_lies_in_rays_logs(left: Left) -> None:
    assert any("worker" in path.name for path in left.watch.logs)
    assert [path for path, data in left.watch.logs.items() if CANARY.encode() in data] == []


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--storage", f"s3://me:{secret('uri')}@bucket/x"),
        ("status", "--storage", f"s3:/me:{secret('uri')}@bucket/x"),
        ("status", "--storage", f"s3://bucket/x?secret_key={CANARY}"),
        ("status", "--storage", f"nowhere://me:{CANARY}@bucket"),
        ("run", "leaky.yaml", "--data", f"s3://me:{secret('data')}@bucket"),
        ("run", "leaky.yaml", "--cache", f"s3://me:{secret('cache')}@bucket"),
        ("run", f"s3://me:{secret('study')}@bucket/study.yaml"),
        ("run", "written.yaml"),
        ("run", "commented.yaml"),
        ("run", "named.yaml"),
        ("run", "leaky.yaml", "--tracking-uri", f"http://me:{secret('mlflow')}@127.0.0.1"),
        ("mlflow", "--sync", "--tracking-uri", f"mysql://me:{secret('mysql')}@127.0.0.1/db"),
        ("mlflow", "--tracking-uri", f"http://me:{CANARY}@127.0.0.1"),
        ("dashboard", "--mlflow", f"http://me:{CANARY}@127.0.0.1"),
        (
            "submit",
            "leaky.yaml",
            "--storage",
            "/nowhere",
            "--address",
            f"http://me:{secret('ray')}@127.0.0.1:1",
        ),
        ("submit", "leaky.yaml", "--storage", "/nowhere", "--tracking-uri", f"http://me:{CANARY}@127.0.0.1"),
    ],
    ids=lambda words: " ".join(words)[:40].replace("/", "_"),
)
def test_what_carries_a_canary_is_refused_and_not_repeated(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["assay", *words])
    (tmp_path / "leak.py").write_text(LEAK)
    (tmp_path / "leaky.yaml").write_text(STUDY)
    (tmp_path / "written.yaml").write_text(STUDY.replace("Does", f"Is s3://me:{secret('text')}@b"))
    (tmp_path / "commented.yaml").write_text(f"# from https://{CANARY}:x@host/\n{STUDY}")
    (tmp_path / "named.yaml").write_text(STUDY.replace("delta: 0.1", f"api_key: {CANARY}"))
    from assay.cli import main

    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    assert ended.value.code == 2
    assert CANARY not in out + err
    assert err.startswith(("error: ", "Usage: "))


def _files(store: Store, folder: str) -> Iterator[str]:
    for name in store.list(folder):
        path = f"{folder}/{name.removesuffix('/')}".lstrip("/")
        if name.endswith("/"):
            yield from _files(store, path)
        else:
            yield path
