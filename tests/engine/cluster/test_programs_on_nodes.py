"""A training program with a folder of settings and an interpreter of its own, on a cluster of two nodes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from assay.storage import Store
from tests.engine.cluster.on_cluster import Start, end
from tests.engine.cluster.ray_nodes import RayNodes
from tests.engine.cluster.test_cluster import BLIND, may_unshare
from tests.engine.process.test_program_examples import EXAMPLES, STUDY


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of two trials that the program `conf` trains, with an interpreter of this test's."""
    shutil.copytree(EXAMPLES / "conf", tmp_path / "conf")
    python = tmp_path / "environment" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with (tmp_path / "conf" / "spots.yaml").open("a") as file:
        file.write(f"python: {python}\n")
    path = tmp_path / "conf" / "study.yaml"
    text = STUDY.format(file="spots.yaml", supervision="weak").replace("seeds: [0]", "seeds: [0, 1]")
    path.write_text(f"{text}resources: {{pack: 1}}\n")
    return path


def test_files_and_interpreter_are_found_on_both_nodes(
    nodes: RayNodes, assay: Start, study: Path, tmp_path: Path
) -> None:
    second = nodes.add().wait()
    code, output = end(assay("run", study, "--storage", tmp_path / "storage"))
    assert code == 0, output
    store = Store(tmp_path / "storage")
    records = store.records(store.trials())
    assert {record.status for record in records.values()} == {"finished"}
    assert {record.environment.node for record in records.values()} == {nodes.head.id, second.id}
    second.end()


def test_a_node_without_the_interpreter_is_named_before_anything_trains(
    nodes: RayNodes, assay: Start, study: Path, tmp_path: Path
) -> None:
    if not may_unshare():
        pytest.skip("needs a private mount, which this system does not allow")
    blind = nodes.add(prefix=(*BLIND, str(tmp_path / "environment"))).wait()
    code, output = end(assay("run", study, "--storage", tmp_path / "storage"))
    assert code == 2, output
    (line,) = (line for line in output.splitlines() if line.startswith(f"  node {blind.id[:8]}"))
    assert f"spots: `python` is an interpreter on every machine that trains, found none at {tmp_path}" in line
    assert not Store(tmp_path / "storage").trials()
    blind.end()
