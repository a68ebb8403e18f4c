"""Searches: killed and resumed without Ray, and pruned with all CPUs given back through Tune."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay.engine import EngineOptions
from tests.engine.search.search_study import ToySearch
from tests.engine.toy_study import run_missing


def test_a_search_killed_after_6_of_12_points_draws_the_points_of_an_undisturbed_one(
    cache_root: Path, tmp_path: Path
) -> None:
    undisturbed = ToySearch(tmp_path / "undisturbed", cache_root, seeds=[0])
    undisturbed.run()
    killed = ToySearch(tmp_path / "killed", cache_root, seeds=[0])
    killed.run(batches=3)  # the first batch in this process, to be quick
    file = tmp_path / "toy_search.yaml"
    file.write_text(killed.text)
    command = [sys.executable, "-m", "assay", "run", str(file), "--local", "--cpus", "2"]
    environment = {**os.environ, "ASSAY_STORAGE": str(tmp_path / "killed"), "ASSAY_CACHE": str(cache_root)}
    log = tmp_path / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            until = time.monotonic() + 200
            while len(killed.store.trials()) < 6 or len(killed.records()) < 6:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert 6 <= len(killed.records()) < 12
    killed.store.delete_tree("studies/toy_search/lease.json")  # its holder is dead: no need to wait for it
    killed.run()
    assert killed.points == undisturbed.points
    assert killed.results() == undisturbed.results()


@pytest.mark.ray
@pytest.mark.usefixtures("free_cluster")
@pytest.mark.parametrize(("kind", "local"), [("median", False), ("asha", True)])
def test_points_that_fall_behind_are_pruned_after_a_repeat_and_give_their_cpus_back(
    cache_root: Path, tmp_path: Path, kind: str, local: bool
) -> None:
    study = ToySearch(
        tmp_path,
        cache_root,
        sampler="grid",
        points=4,
        batch=4,
        seeds=[0, 1, 2],
        epochs=3,
        seconds=0.3,
        start="[]",
        more=f", pruner: {{kind: {kind}, min: 1}}",
        space="  config.x: {choice: [0.3, 0.35, 0.99, 1.0]}",
        replicate="",
    )
    options = EngineOptions(data_root=None, cache=cache_root, local=local)
    outcome = run_missing(study.plan, study.store, options)
    assert (outcome.missing, outcome.failed, outcome.interrupted) == (0, 0, False)
    assert outcome.pruned >= 2
    records = study.records()
    whole = {t.cell for t in study.grown.trials if records[t.id].status == "finished"}
    assert {"base #0", "base #1"} <= whole
    reasons = {record.reason for record in records.values() if record.status == "pruned"}
    assert any("stopped by the pruner after 1 of 3 repeats" in (reason or "") for reason in reasons)


@pytest.mark.ray
@pytest.mark.usefixtures("free_cluster")
def test_in_batches_of_one_a_pruner_counts_epochs(cache_root: Path, tmp_path: Path) -> None:
    study = ToySearch(
        tmp_path,
        cache_root,
        sampler="grid",
        points=3,
        batch=3,
        seeds=[0],
        epochs=8,
        seconds=0.6,
        start="[]",
        more=", pruner: {kind: asha, min: 2, factor: 2}",
        space="  config.x: {choice: [0.3, 0.32, 1.0]}",
        replicate="",
    )
    outcome = run_missing(study.plan, study.store, EngineOptions(data_root=None, cache=cache_root))
    assert outcome.missing == 0
    by_cell = {record.trial["cell"]: record for record in study.records().values()}
    assert by_cell["base #0"].status == "finished"
    assert by_cell["base #2"].status == "pruned"
    assert re.search(r"after [2-7] epochs, at 0\.\d", by_cell["base #2"].reason or "")
