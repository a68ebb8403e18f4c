"""Studies on a cluster that others started: nodes that join, die, or differ from the head.

One cluster for all tests, with one core on each node and nothing on it that is assay's.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.engine.cluster.on_cluster import Start, end, training, write
from tests.engine.cluster.ray_nodes import RayNode, RayNodes
from tests.engine.run.killing import find_process
from tests.engine.toy_study import ToyStudy
from tests.helpers.waiting import wait_for

_PLUGIN = ROOT / "tests" / "plugin"
# A private view of the file system, in which one folder is empty: `sh -c … FOLDER COMMAND…`.
_UNSHARE = ("unshare", "--map-root-user", "--mount")
BLIND = (*_UNSHARE, "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"')


# Nodes that differ -----------------------------------------------------------------------------------


def may_unshare() -> bool:
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
    blind = (*BLIND, str(here)) if may_unshare() else ()
    odd = nodes.add(environment={"PYTHONPATH": path}, prefix=blind).wait()
    process = assay("run", write(study), "--storage", study.storage, "--data", here / "data")
    code, output = end(process)
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
    if not may_unshare():
        pytest.skip("needs a private mount, which this system does not allow")
    output = refused[2]
    assert "does not see the storage" in output
    assert "has no data root" in output


# Nodes that join and die -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grown(
    assay: Start, nodes: RayNodes, tmp_path_factory: pytest.TempPathFactory, cache_root: Path
) -> tuple[ToyStudy, list[RayNode]]:
    """A study that began on two nodes and went on with three; stopped when the third had trained."""
    second = nodes.add().wait()
    storage = tmp_path_factory.mktemp("grown") / "storage"
    # Long trials: a batch then trains for longer than a slow machine needs to start the next one.
    study = ToyStudy.make(storage, cache_root, seeds=tuple(range(100)), seconds=4.0)
    process = assay("run", write(study), "--storage", storage)
    wait_for(lambda: training(study, 1), process)
    third = nodes.add().wait()

    def share() -> int:
        return [record.environment.node for record in study.records().values()].count(third.id)

    wait_for(lambda: share() >= 1 and _busiest(study) >= 3, process)
    process.send_signal(signal.SIGINT)
    code, output = end(process)
    assert code == 130, output
    return study, [nodes.head, second, third]


def test_a_node_that_joins_a_running_study_gets_work(grown: tuple[ToyStudy, list[RayNode]]) -> None:
    study, nodes = grown
    assert {record.environment.node for record in study.records().values()} == {node.id for node in nodes}


def test_as_many_batches_as_slots_train_at_once_without_resources_of_ours(
    grown: tuple[ToyStudy, list[RayNode]],
) -> None:
    study, _ = grown
    assert _busiest(study) == 3


@pytest.mark.timeout(600)
def test_a_trial_of_two_workers_survives_nodes_that_are_drained_or_die_and_waits_for_one_if_it_must(
    nodes: RayNodes, assay: Start, tmp_path: Path, cache_root: Path
) -> None:
    for node in nodes.nodes[1:]:
        node.end()
    # A driver holds a little memory, and is placed where there is most of it: on the head, which stays.
    others = [node.wait() for node in (nodes.add(memory=2**21), nodes.add(memory=2**21))]
    made = partial(ToyStudy.make, cache=cache_root, seeds=(0,), epochs=60)
    study = made(tmp_path / "storage", workers=2, pack="2", seconds=1.0, held=True)
    first, second = (trial.id for trial in study.plan.trials)
    process = assay("run", write(study), "--storage", study.storage)

    def in_the_middle(attempt: int) -> bool:
        beat = study.store.progress(first)
        return beat is not None and beat.attempt.startswith(f"{attempt:03d}-") and beat.epoch >= 2

    # One node is drained: the node that was idle takes its place, and no attempt is used up.
    wait_for(lambda: in_the_middle(1), process)
    drained = next(node for node in others if _runs(node, "RayTrainWorker"))
    names = [drained.id]
    nodes.drain(drained)
    wait_for(lambda: in_the_middle(2), process)
    drained.end()  # it might stay for a while, and gets no work

    # The other dies, and there is none to take its place until one joins.
    dies = next(node for node in others if node is not drained)
    assert _runs(dies, "RayTrainWorker")
    assert not _runs(dies, "BatchDriver")
    names.append(dies.id)
    dies.kill_raylet()
    nodes.add().wait()
    wait_for(lambda: in_the_middle(3), process)
    study.release()
    code, output = end(process)

    assert code == 0, output
    assert all(f"node {name[:8]} on " in output for name in names), "the run says who left"
    assert (_workers(study, first), _workers(study, second)) == ([2, 2, 2], [2])
    assert [attempt.drained for attempt in study.store.attempts(first)] == [True, False, False]
    record = study.records()[first]
    log = (study.storage / "trials" / first / record.attempt / "log.txt").read_text()
    assert "resumed after epoch" in log
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


def _runs(node: RayNode, actor: str) -> bool:
    return find_process(node.start.pid, actor) is not None


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


def test_a_node_that_gives_no_work_is_not_compared_where_ray_does_not_say_that_it_leaves(
    nodes: RayNodes, assay: Start, tmp_path: Path, cache_root: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['ray.autoscaler.v2.sdk'] = None\n")
    study = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,), pack="2")
    works = nodes.add().wait()
    node = works.id  # of a process: it is gone with the node
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**nodes.environment, "RAY_ADDRESS": nodes.address}
    with subprocess.Popen([sys.executable, "-c", _HOLD, node], **pipes, env=environment) as work:
        assert work.stdout is not None
        assert work.stdout.readline() == "held\n"
        nodes.drain(works)
        path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
        process = assay("run", write(study), "--storage", study.storage, PYTHONPATH=path)
        code, output = end(process)
        work.kill()
    works.end()
    assert code == 0, output
    assert re.search(rf"not compared, because other nodes answer .*: node {node[:8]} on ", output)


@pytest.mark.timeout(600)
def test_nodes_that_leave_while_nodes_are_compared_or_are_to_leave_are_no_nodes_that_differ(
    nodes: RayNodes, assay: Start, tmp_path: Path, cache_root: Path
) -> None:
    study = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,), pack="2")
    works, leaves = nodes.add().wait(), nodes.add().wait()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**nodes.environment, "RAY_ADDRESS": nodes.address}
    with subprocess.Popen([sys.executable, "-c", _HOLD, works.id], **pipes, env=environment) as work:
        assert work.stdout is not None
        assert work.stdout.readline() == "held\n"
        # One node is to be taken away and still works; the other is asked and does not answer.
        nodes.drain(works)
        for pid in leaves.pids:
            os.kill(pid, signal.SIGSTOP)
        process = assay("run", write(study), "--storage", study.storage)
        wait_for(lambda: any(study.storage.rglob(nodes.head.id)), process)  # the head has answered
        leaves.end()
        code, output = end(process)
        assert works.is_up
        work.kill()
    works.end()
    assert code == 0, output
