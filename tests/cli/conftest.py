"""The command line in this process, and a small storage that was written without training anything."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.main

from assay.cli import main
from assay.storage import Environment, Record, Store
from assay.storage.plans import write_plan
from assay.storage.preregistration import preregister
from assay.study import Plan, parse_study, plan_study
from tests.cli.small_study import STUDY, Assay, Output, finished

_command_of = cache(typer.main.get_command)  # made anew by each call, of 30 commands with all their options


@pytest.fixture
def assay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Assay]:
    """Call `assay` with arguments, away from the user's own storage and cache."""
    for name in ("ASSAY_STORAGE", "ASSAY_DATA", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("typer.main.get_command", _command_of)
    # What ends a command some seconds after a signal, a thread with two sockets, would end the tests.
    monkeypatch.setattr("assay.cli.app._end_after_signals", lambda: None)
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments: str | Path) -> Output:
        monkeypatch.setattr(sys, "argv", ["assay", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        said = capsys.readouterr()
        return Output(code if isinstance(code, int) else 0, said.out, said.err)

    yield call
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture
def plan() -> Plan:
    return plan_study(parse_study(STUDY, "small.yaml"), None, "cpu")


@pytest.fixture
def store(tmp_path: Path, plan: Plan) -> Store:
    """A storage with a study of four trials: two finished, one failed, one not trained yet."""
    store = Store(tmp_path / "storage")
    preregister(store, plan)
    write_plan(store, plan)
    first, second, third, _ = plan.trials
    finished(first, store, image_ap=0.8)
    finished(second, store, image_ap=0.95)
    attempt = store.begin_attempt(third.id, Environment(host="here"))
    store.write_bytes(f"{attempt.prefix}/log.txt", b"epoch 1/2\nRuntimeError: it broke\n")
    store.write_record(
        Record(
            id=third.id,
            status="failed",
            reason="RuntimeError: it broke",
            trial=third.model_dump(mode="json"),
            study="small",
            attempt=attempt.name,
            error="Traceback (most recent call last):\nRuntimeError: it broke",
        )
    )
    return store
