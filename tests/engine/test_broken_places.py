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

from tests.mounting import in_own_mounts


def _answer(scenario: str, folder: Path, *, mounts: bool = True) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.engine.broken_places", scenario, str(folder)]
    if mounts:
        command = in_own_mounts(command)
    elif os.getuid() == 0:  # root may write everywhere, unless it gives that up
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# A trial of the toy needs about 50 KB: it runs full at its first note, its log, its files, its record.
@pytest.mark.parametrize("free", [0, 4096, 12288, 28672, 45056])
def test_wherever_a_storage_runs_full_nothing_is_half_written_and_nothing_lost(
    free: int, tmp_path: Path
) -> None:
    answer = _answer(f"full:{free}", tmp_path)
    assert answer["said"].startswith(
        f"the storage {tmp_path}/place is full (0 MB free). Free some space there"
    )
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
    scenario: str, said: str, tmp_path: Path
) -> None:
    answer = _answer(scenario, tmp_path)
    assert f"the storage {tmp_path}/place {said}" in answer["said"]
    assert answer["recorded"] == answer["left"] == []
    assert answer["same"]


def test_a_storage_that_is_not_the_users_is_named(tmp_path: Path) -> None:
    answer = _answer("permission", tmp_path, mounts=False)
    assert f"the storage {tmp_path}/place may not be written by user {os.getuid()}" in answer["said"]
    assert answer["recorded"] == answer["left"] == []
    assert answer["same"]


def test_a_full_cache_is_no_fault_of_the_trial(tmp_path: Path) -> None:
    answer = _answer("cache", tmp_path)
    assert f"the folder {tmp_path}/place" in answer["said"]
    assert "is full" in answer["said"]
    assert "--cache" in answer["said"]
    assert answer["recorded"] == []
    assert answer["same"]
