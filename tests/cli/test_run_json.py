"""`assay run --json` as a program: a line for each event on standard output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema

from assay.report.answers import answer_schema
from tests.engine.toy_study import TOY

PACE = "pace: {slow: {config: {lr: 0.05}}, fast: {config: {fault: raise}}}"


def command(folder: Path, cache: Path) -> list[str]:
    """The program and its arguments: the toy study, trained here."""
    settings = {"name": "toy", "epochs": 1, "seconds": 0, "workers": 1, "pack": "auto", "factor": PACE}
    study = folder / "toy.yaml"
    study.write_text(TOY.format(**settings, seeds="[0]"), encoding="utf-8")
    places = ["--storage", str(folder / "storage"), "--cache", str(cache)]
    return [sys.executable, "-m", "assay", "run", str(study), "--local", "--processes", "0", *places]


def run(folder: Path, cache: Path, **environment: str) -> tuple[int, list[Any], str]:
    """Exit code, events and standard error."""
    done = subprocess.run(
        [*command(folder, cache), "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    validator = jsonschema.Draft202012Validator(answer_schema("event"))
    for event in events:
        validator.validate(event)
    return done.returncode, events, done.stderr


def test_a_run_is_lines_from_start_to_end(tmp_path: Path, cache_root: Path) -> None:
    code, events, errors = run(tmp_path, cache_root)
    assert code == 1, errors
    assert [event["event"] for event in events] == ["started", "trial", "trial", "ended"]
    ends = {event["cell"]: (event["status"], event["reason"] is None) for event in events[1:3]}
    assert ends == {"slow": ("finished", True), "fast": ("failed", False)}
    last = events[-1]
    assert (last["exit_code"], last["finished"], last["failed"], last["trained_now"]) == (1, 1, 1, 2)
    assert "loading the engine" in errors


def test_a_run_goes_on_where_its_reader_leaves(tmp_path: Path, cache_root: Path) -> None:
    with subprocess.Popen(
        [*command(tmp_path, cache_root), "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline()
        program.stdout.close()
    assert program.returncode == 1, "of the trial that fails"
    assert len(list((tmp_path / "storage" / "trials").glob("*/record.json"))) == 2
