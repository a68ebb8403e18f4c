"""Studies on a cluster that others started: nodes that join, die, or differ from the head; jobs.

One cluster for all tests, with one core on each node and nothing on it that is assay's.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from assay.engine.ports import ray_ports
from assay.engine.versions import source_version
from assay.storage.lease import holder
from tests.conftest import ROOT
from tests.engine.ray_nodes import RayNode, RayNodes
from tests.engine.toy_study import ToyStudy

_PLUGIN = ROOT / "tests" / "plugin"
_PATIENCE = 150.0  # seconds, on a busy machine
# A private view of the file system, in which one folder is empty: `sh -c … FOLDER COMMAND…`.
_UNSHARE = ("unshare", "--map-root-user", "--mount")
_BLIND = (*_UNSHARE, "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"')


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    """A head with one core and a dashboard."""
    cluster = RayNodes(cpus=1)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def assay(nodes: RayNodes, cache_root: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the program as a process of its own that may use the cluster."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        known = {**nodes.environment, "RAY_ADDRESS": nodes.address, "ASSAY_CACHE": str(cache_root)}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "assay", *map(str, arguments)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=nodes.folder,
                env={**known, **environment},
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


Start = Callable[..., subprocess.Popen[str]]


def _write(study: ToyStudy) -> Path:
    file = study.storage.parent / f"{study.plan.study.study}.yaml"
    file.write_text(study.text)
    return file


def _end(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=_PATIENCE)
    assert "Traceback" not in output
    return process.returncode, output


def _wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + _PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "it did not come so far"
        time.sleep(0.1)


def _training(study: ToyStudy, epoch: int) -> bool:
    beats = [study.store.progress(trial.id) for trial in study.plan.trials]
    return any(beat is not None and beat.epoch >= epoch for beat in beats)


# Ports -----------------------------------------------------------------------------------------------


def test_a_cluster_listens_where_the_page_says(nodes: RayNodes) -> None:
    node = nodes.add().wait()
    until = time.monotonic() + _PATIENCE
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


# Deaths of what the program itself hangs on ----------------------------------------------------------


@pytest.mark.parametrize(
    ("dies", "named"),
    [
        # `ray start --block` ends the node of a head whose gcs_server died: whichever is seen first is named.
        ("gcs_server", r"(the cluster's head at \S+ does|the raylet of this process's node ended)"),
        ("raylet", "the raylet of this process's node ended"),
    ],
)
def test_a_head_or_a_raylet_that_dies_ends_the_run_with_its_name_and_a_code_of_its_own(
    dies: str, named: str, tmp_path: Path, cache_root: Path
) -> None:
    cluster = RayNodes(cpus=1)
    study = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,), seconds=1.0, epochs=60)
    known = {**cluster.environment, "RAY_ADDRESS": cluster.address, "ASSAY_CACHE": str(cache_root)}
    process = subprocess.Popen(
        [sys.executable, "-m", "assay", "run", str(_write(study)), "--storage", str(study.storage)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cluster.folder,
        env=known,
    )
    try:
        _wait_for(lambda: _training(study, 1), process)
        family = psutil.Process(cluster.head.start.pid).children()
        next(child for child in family if child.name() == dies).kill()
        code, output = _end(process)
        assert code == 3, output
        assert re.search(f"^error: {named}.*, and with it the run", output, re.MULTILINE), output
        assert holder(study.store, study.plan.study.study) is None
    finally:
        process.kill()
        process.communicate()
        cluster.close()


# Jobs ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH of a copy of the program with a line that the nodes' own has not."""
    copy = tmp_path_factory.mktemp("edited")
    for package in (ROOT / "platform" / "assay", ROOT / "trainables"):
        shutil.copytree(package, copy / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "assay" / "engine" / "worker.py").open("a") as file:
        file.write("# edited\n")
    return os.pathsep.join(map(str, [copy, _PLUGIN]))


def test_a_job_runs_the_submitters_code_and_ends_with_its_exit_code(
    assay: Start, nodes: RayNodes, edited: str, tmp_path: Path, cache_root: Path
) -> None:
    factor = "fault: {none: {config: {fault: none}}, raise: {config: {fault: raise}}}"
    study = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,), factor=factor, name="job")
    options = ("--storage", study.storage, "--cache", cache_root, "--address", nodes.dashboard)
    code, output = _end(assay("submit", _write(study), *options, PYTHONPATH=edited))
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
    process = assay("submit", _write(study), *options)
    _wait_for(lambda: _training(study, 1), process)
    process.send_signal(signal.SIGINT)
    code, output = _end(process)
    assert (code, "the job runs on" in output) == (130, True), output
    assert f"assay stop long --storage {study.storage}" in output
    assert holder(study.store, "long") is not None
    stop = assay("stop", "long", "--storage", study.storage)
    assert _end(stop)[0] == 0
    until = time.monotonic() + _PATIENCE
    while holder(study.store, "long") is not None:
        assert time.monotonic() < until, "the job did not stop"
        time.sleep(0.2)


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
    process = assay("submit", _write(study), "--storage", study.storage, *options, **environment)
    code, output = _end(process)
    assert code == 2
    assert said in output


# Nodes that differ -----------------------------------------------------------------------------------


def _may_unshare() -> bool:
    return subprocess.run([*_UNSHARE, "true"], check=False).returncode == 0


@pytest.fixture(scope="module")
def refused(
    assay: Start, nodes: RayNodes, tmp_path_factory: pytest.TempPathFactory, cache_root: Path
) -> tuple[str, int, str]:
    """A node with another scikit-learn, another toy, and neither storage nor data; what a run says of it."""
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(_PLUGIN, other, dirs_exist_ok=True)
    with (other / "assay_toy" / "__init__.py").open("a") as file:
        file.write("# another\n")
    metadata = other / "scikit_learn-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: scikit-learn\nVersion: 0.1\n")
    here = tmp_path_factory.mktemp("here")
    (here / "data").mkdir()
    study = ToyStudy.make(here / "storage", cache_root, name="refused")
    path = os.pathsep.join([str(other), os.environ["PYTHONPATH"]])
    blind = (*_BLIND, str(here)) if _may_unshare() else ()
    odd = nodes.add(environment={"PYTHONPATH": path}, prefix=blind).wait()
    process = assay("run", _write(study), "--storage", study.storage, "--data", here / "data")
    code, output = _end(process)
    assert not study.store.trials(), "something was trained"
    name = odd.id
    odd.end()
    return name, code, output


def test_a_node_that_differs_is_refused_before_anything_trains(refused: tuple[str, int, str]) -> None:
    node, code, output = refused
    assert code == 2
    assert "found 1 of 2 that differ" in output
    (line,) = (line for line in output.splitlines() if line.startswith(f"  node {node[:8]}"))
    assert "scikit-learn 0.1 (wanted " in line
    assert "source of assay_toy" in line
    assert "torch" not in line


def test_a_node_without_storage_or_data_is_refused_too(refused: tuple[str, int, str]) -> None:
    if not _may_unshare():
        pytest.skip("needs a private mount, which this system does not allow")
    output = refused[2]
    assert "does not see the storage" in output
    assert "has no data root" in output


# Nodes that join and die -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grown(
    assay: Start, nodes: RayNodes, tmp_path_factory: pytest.TempPathFactory, cache_root: Path
) -> tuple[ToyStudy, list[RayNode]]:
    """A study that began on two nodes and went on with three; stopped when the third had done its share."""
    second = nodes.add().wait()
    storage = tmp_path_factory.mktemp("grown") / "storage"
    # Long trials: a pack then trains for longer than a slow machine needs to start the next one.
    study = ToyStudy.make(storage, cache_root, seeds=tuple(range(100)), seconds=4.0)
    process = assay("run", _write(study), "--storage", storage)
    _wait_for(lambda: _training(study, 1), process)
    third = nodes.add().wait()

    def share() -> int:
        return [record.environment.node for record in study.records().values()].count(third.id)

    _wait_for(lambda: share() >= 3 and _busiest(study) >= 3, process)
    process.send_signal(signal.SIGINT)
    code, output = _end(process)
    assert code == 130, output
    return study, [nodes.head, second, third]


def test_a_node_that_joins_a_running_study_gets_work(grown: tuple[ToyStudy, list[RayNode]]) -> None:
    study, nodes = grown
    assert {record.environment.node for record in study.records().values()} == {node.id for node in nodes}


def test_as_many_packs_as_slots_train_at_once_without_resources_of_ours(
    grown: tuple[ToyStudy, list[RayNode]],
) -> None:
    study, _ = grown
    assert _busiest(study) == 3


@pytest.mark.parametrize("ending", ["killed", "drained"])
def test_a_node_that_leaves_in_the_middle_of_a_trial_of_two_workers_changes_no_result(
    nodes: RayNodes, assay: Start, tmp_path: Path, cache_root: Path, ending: str
) -> None:
    others = [node for node in nodes.nodes[1:] if node.is_up]
    others += [nodes.add().wait() for _ in range(2 - len(others))]
    # Seconds do not change the weights: the trial of cell calm tells what that of cell struck must become.
    factor = "pace: {calm: {config: {seconds: 0}}, struck: {config: {seconds: 1}}}"
    settings = {"seeds": (0,), "workers": 2, "pack": "2", "epochs": 60, "factor": factor}
    study = ToyStudy.make(tmp_path / "storage", cache_root, held=True, **settings)
    process = assay("run", _write(study), "--storage", study.storage)
    calm, struck = (trial.id for trial in study.plan.trials)

    def in_the_middle() -> bool:
        beat = study.store.progress(struck)
        return beat is not None and beat.epoch >= 2

    _wait_for(in_the_middle, process)
    leaving = next(node for node in others if _trains(node))
    leaving.kill_raylet() if ending == "killed" else nodes.drain(leaving)
    _wait_for(lambda: len(_workers(study, struck)) > 1, process)
    study.release()
    code, output = _end(process)
    leaving.end()  # a drained one may stay for a while, and gets no work
    assert code == 0, output
    records = study.records()
    assert records[struck].attempts > records[calm].attempts == 1
    assert records[struck].result.weights_hash == records[calm].result.weights_hash
    counted = [attempt for attempt in study.store.attempts(struck) if not attempt.drained]
    assert (len(counted) == 1) == (ending == "drained")
    log = (study.storage / "trials" / struck / records[struck].attempt / "log.txt").read_text()
    assert "resumed after epoch" in log


def test_a_trial_goes_on_with_fewer_workers_and_the_next_has_all_of_them_again(
    nodes: RayNodes, assay: Start, tmp_path: Path, cache_root: Path
) -> None:
    others = [node for node in nodes.nodes[1:] if node.is_up] or [nodes.add().wait()]
    for node in others[1:]:
        node.end()  # two cores stay
    made = partial(ToyStudy.make, cache=cache_root, seeds=(0,), epochs=60)
    workers = "2, min_workers: 1"
    study = made(tmp_path / "storage", workers=workers, pack="2", seconds=1.0, held=True)
    first, second = (trial.id for trial in study.plan.trials)
    process = assay("run", _write(study), "--storage", study.storage)
    _wait_for(lambda: _training(study, 2), process)
    others[0].kill_raylet()
    _wait_for(lambda: _workers(study, first) == [2, 1], process)
    nodes.add().wait()
    study.release()
    code, output = _end(process)
    assert code == 0, output
    assert (_workers(study, first), _workers(study, second)) == ([2, 1], [2])
    alone = made(tmp_path / "alone")
    assert alone.run(local=True).finished == 2
    for trial, same in zip((first, second), alone.plan.trials, strict=True):
        assert study.weights(trial) == pytest.approx(alone.weights(same.id), rel=1e-5)


def _workers(study: ToyStudy, trial: str) -> list[int]:
    """How many trained in each attempt."""
    return [attempt.workers for attempt in study.store.attempts(trial)]


def _busiest(study: ToyStudy) -> int:
    """How many trials trained at once, at most."""
    spans = [(record.started, record.ended) for record in study.records().values()]
    return max(sum(begin <= start < end for begin, end in spans) for start, _ in spans)


def _trains(node: RayNode) -> bool:
    family = psutil.Process(node.start.pid).children(recursive=True)
    return any("RayTrainWorker" in " ".join(process.cmdline()) for process in family)


def test_a_node_that_leaves_while_nodes_are_compared_is_no_node_that_differs(
    nodes: RayNodes, assay: Start, tmp_path: Path, cache_root: Path
) -> None:
    study, node = ToyStudy.make(tmp_path / "storage", cache=cache_root), nodes.add().wait()
    for pid in node.pids:
        os.kill(pid, signal.SIGSTOP)  # it is asked and does not answer
    process = assay("run", _write(study), "--storage", study.storage)
    _wait_for(lambda: any(study.storage.rglob(nodes.head.id)), process)  # the head has answered
    node.end()
    code, output = _end(process)
    assert code == 0, output


_HOLD = """
import sys, ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
ray.init(log_to_driver=False)

@ray.remote(num_cpus=1, scheduling_strategy=NodeAffinitySchedulingStrategy(sys.argv[1], soft=False))
class Work:
    def name(self):
        return "held"

work = Work.remote()
print(ray.get(work.name.remote()), flush=True)
sys.stdin.read()
"""


def test_a_node_that_is_to_be_taken_away_and_still_works_is_no_node_that_differs(
    nodes: RayNodes, assay: Start, tmp_path: Path, cache_root: Path
) -> None:
    study, node = ToyStudy.make(tmp_path / "storage", cache=cache_root), nodes.add().wait()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**nodes.environment, "RAY_ADDRESS": nodes.address}
    with subprocess.Popen([sys.executable, "-c", _HOLD, node.id], **pipes, env=environment) as work:
        assert work.stdout is not None
        assert work.stdout.readline() == "held\n"
        nodes.drain(node)
        code, output = _end(assay("run", _write(study), "--storage", study.storage))
        assert node.is_up
        work.kill()
    node.end()
    assert code == 0, output
