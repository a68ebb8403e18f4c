"""Ports of a cluster that others started, deaths of what a run hangs on, and jobs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from assay.engine.cluster.ports import ray_ports
from assay.engine.versions import source_version
from assay.storage.lease import holder
from tests.conftest import ROOT
from tests.engine.cluster.on_cluster import PATIENCE, Start, end, training, write
from tests.engine.cluster.ray_nodes import RayNodes
from tests.engine.toy_study import ToyStudy
from tests.helpers.waiting import wait_for

_PLUGIN = ROOT / "tests" / "plugin"


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    """A head with one core and the dashboard that takes jobs."""
    cluster = RayNodes(cpus=1, dashboard=True)
    yield cluster
    cluster.close()


# Ports -----------------------------------------------------------------------------------------------


def test_a_cluster_listens_where_the_page_says(nodes: RayNodes) -> None:
    node = nodes.add().wait()
    until = time.monotonic() + PATIENCE
    table = _page_of_ports()
    while True:
        ports = ray_ports(nodes.head.pids | node.pids)
        here = {(port.process, _as_on_the_page(port.address)) for port in ports}
        if table - {("worker", "all interfaces")} <= here:
            break
        assert time.monotonic() < until, table - here
        time.sleep(0.5)  # agents open theirs when the node is there already
    node.end()
    assert here <= table


def _page_of_ports() -> set[tuple[str, str]]:
    """Process and address of each row of the table in docs/cluster.md."""
    text = (ROOT / "docs" / "cluster.md").read_text().partition("| process | address |")[2]
    rows = text.partition("\n\n")[0].splitlines()[2:]
    return {(row.split("|")[1].strip(), row.split("|")[2].strip()) for row in rows}


def _as_on_the_page(address: str) -> str:
    return {"*": "all interfaces", "127.0.0.1": "127.0.0.1"}.get(address, "the node's address")


# Jobs ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH of a copy of the program with a line that the nodes' own has not."""
    copy = tmp_path_factory.mktemp("edited")
    for package in (ROOT / "platform" / "assay", ROOT / "trainables"):
        shutil.copytree(package, copy / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "assay" / "engine" / "worker" / "worker.py").open("a") as file:
        file.write("# edited\n")
    return os.pathsep.join(map(str, [copy, _PLUGIN]))


def test_a_job_runs_the_submitters_code_and_ends_with_its_exit_code(
    assay: Start, nodes: RayNodes, edited: str, tmp_path: Path, cache_root: Path
) -> None:
    factor = "fault: {none: {config: {fault: none}}, raise: {config: {fault: raise}}}"
    study = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,), factor=factor, name="job")
    options = ("--storage", study.storage, "--cache", cache_root, "--address", nodes.dashboard)
    code, output = end(assay("submit", write(study), *options, PYTHONPATH=edited))
    assert code == 1, output  # one of the two trials failed
    assert output.startswith("job assay-job-")
    assert "1 finished, 1 failed" in output
    ask = [sys.executable, "-c", "from assay.engine.versions import *; print(source_version().source)"]
    environment = {**os.environ, "PYTHONPATH": edited}
    shipped = subprocess.run(ask, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    sources = {record.environment.source_hash for record in study.records().values()}
    assert sources == {shipped}
    assert shipped != source_version().source


def test_after_ctrl_c_the_job_runs_on_until_it_is_stopped_through_the_storage(
    assay: Start, nodes: RayNodes, tmp_path: Path, cache_root: Path
) -> None:
    study = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,), seconds=2.0, epochs=60, name="long")
    options = ("--storage", study.storage, "--cache", cache_root, "--address", nodes.dashboard)
    process = assay("submit", write(study), *options)
    wait_for(lambda: training(study, 1), process)
    process.send_signal(signal.SIGINT)
    code, output = end(process)
    assert (code, "the job runs on" in output) == (130, True), output
    assert f"assay stop long --storage {study.storage}" in output
    assert re.search(r"before it begins:   ray job stop assay-long-\w+ --address http", output)
    assert "interrupted" not in output
    assert holder(study.store, "long") is not None
    stop = assay("stop", "long", "--storage", study.storage)
    assert end(stop)[0] == 0
    wait_for(lambda: holder(study.store, "long") is None, said=lambda: "the job did not stop")


@pytest.mark.parametrize(
    ("options", "environment", "said"),
    [
        ((), {"RAY_AUTH_TOKEN": "f" * 32}, "asks for a token, and refuses this one"),
        (("--python", "/no/such/python"), {}, "found none at /no/such/python"),
        (("--address", "http://127.0.0.1:1"), {}, "does not answer"),
    ],
)
def test_a_job_that_cannot_be_is_refused_in_a_sentence(  # noqa: PLR0917 - four fixtures and three cases
    assay: Start,
    nodes: RayNodes,
    tmp_path: Path,
    options: tuple[str, ...],
    environment: dict[str, str],
    said: str,
    cache_root: Path,
) -> None:
    study = ToyStudy.make(tmp_path / "storage", cache_root)
    environment = {"RAY_ADDRESS": "", "RAY_API_SERVER_ADDRESS": nodes.dashboard, **environment}
    process = assay("submit", write(study), "--storage", study.storage, *options, **environment)
    code, output = end(process)
    assert code == 2
    assert said in output


# Death of what the program itself hangs on -----------------------------------------------------------


def test_a_head_that_dies_ends_the_run_with_its_name_and_a_code_of_its_own(
    assay: Start, nodes: RayNodes, tmp_path: Path, cache_root: Path
) -> None:
    """The last test of this cluster, which ends with its head."""
    study = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,), seconds=1.0, epochs=60)
    process = assay("run", write(study), "--storage", study.storage)
    wait_for(lambda: training(study, 1), process)
    family = psutil.Process(nodes.head.start.pid).children()
    next(child for child in family if child.name() == "gcs_server").kill()
    code, output = end(process)
    assert code == 3, output
    # `ray start --block` ends the node of a head whose gcs_server died: whichever is seen first is named.
    named = r"(the cluster's head at \S+ does|the raylet of this process's node ended)"
    assert re.search(f"^error: {named}.*, and with it the run", output, re.MULTILINE), output
    assert holder(study.store, study.plan.study.study) is None
