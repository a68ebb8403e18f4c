"""A storage or cache that is full, read-only, unmounted or not ours: said in a sentence, nothing lost.

On real file systems of a few megabytes, in a process with mounts of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.mounting import in_own_mounts

ROOT = Path(__file__).parents[3]
FREE = [0, 4096, 12288, 28672, 45056]
Answers = dict[str, dict[str, Any]]


def _answers(command: list[str]) -> Answers:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("places")


@pytest.fixture(scope="module")
def mounted(folder: Path) -> Answers:
    """What happened on file systems of a few megabytes, by scenario."""
    scenarios = [*(f"full:{free}" for free in FREE), "read-only", "unmounted", "cache"]
    program = [sys.executable, "-m", "tests.engine.process.broken_storage", str(folder), *scenarios]
    return _answers(in_own_mounts(program))


# A trial of the toy needs about 50 KB: it runs full at its first note, its log, its files, its record.
@pytest.mark.parametrize("free", FREE)
def test_wherever_a_storage_runs_full_nothing_is_half_written_and_nothing_lost(
    free: int, mounted: Answers, folder: Path
) -> None:
    answer = mounted[f"full:{free}"]
    assert answer["said"].startswith(f"the storage {folder}/full-{free} is full (0 MB free). Free some space")
    assert "`assay run` then goes on" in answer["said"]
    assert answer["half"] == []
    assert "failed" not in answer["recorded"]
    assert answer["same"]
    assert max(answer["attempts"]) <= 2


@pytest.mark.parametrize(
    ("scenario", "said"),
    [("read-only", "is read-only. Mend that"), ("unmounted", "was unmounted. Mount it again")],
)
def test_a_storage_that_goes_away_is_named_and_the_study_goes_on_when_it_is_back(
    scenario: str, said: str, mounted: Answers, folder: Path
) -> None:
    answer = mounted[scenario]
    assert f"the storage {folder}/{scenario} {said}" in answer["said"]
    assert answer["recorded"] == answer["left"] == []
    assert answer["same"]


def test_a_storage_that_is_not_the_users_is_named(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.engine.process.broken_storage", str(tmp_path), "permission"]
    if os.getuid() == 0:  # root may write everywhere, unless it gives that up
        program = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *program]
    answer = _answers(program)["permission"]
    assert f"the storage {tmp_path}/permission may not be written by user {os.getuid()}" in answer["said"]
    assert answer["recorded"] == answer["left"] == []
    assert answer["same"]


def test_a_full_cache_is_no_fault_of_the_trial(mounted: Answers, folder: Path) -> None:
    answer = mounted["cache"]
    assert f"the folder {folder}/cache" in answer["said"]
    assert "is full" in answer["said"]
    assert "--cache" in answer["said"]
    assert answer["recorded"] == []
    assert answer["same"]
