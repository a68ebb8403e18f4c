"""One Ray for the whole session, clusters for a module, and small studies of the toy on synthetic images."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from assay.engine.process.fork_server import ForkServer
from tests.engine.cluster.on_cluster import Start
from tests.engine.cluster.ray_nodes import RayNodes
from tests.engine.process.odd_method import Odd, train_odd
from tests.engine.toy_study import ToyStudy

_VIEW_SECONDS = 5.0  # Ray's view of the resources follows the processes' death with a delay


@pytest.fixture
def toy(tmp_path: Path, cache_root: Path) -> Callable[..., ToyStudy]:
    """Make a toy study on a storage of its own: ``toy(seeds=(0,), seconds=0.2)``."""
    return partial(ToyStudy.make, tmp_path / "storage", cache_root)


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    """What starts training processes."""
    with ForkServer() as started:
        yield started


@pytest.fixture
def odd(tmp_path: Path, cache_root: Path, server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> Odd:
    """Train a method whose ``fit`` is the given lines, without long waits: ``odd("sys.exit(3)")``."""
    monkeypatch.setattr("assay.engine.worker.train_trials._AFTER_DEATH_SECONDS", 0.0)
    monkeypatch.setattr("assay.engine.process.process._POLL_SECONDS", 0.1)
    return partial(train_odd, tmp_path, cache_root, server)


@pytest.fixture
def free_cluster(ray_session: None) -> Iterator[None]:
    """After the test all CPUs are free and no placement group is left."""
    import ray
    from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group

    yield
    # What a test leaves is taken away for those after it, and reported.
    left = [name for name, entry in placement_group_table().items() if entry["state"] != "REMOVED"]
    for name in left:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(name))))
    assert left == []
    until = time.monotonic() + _VIEW_SECONDS
    while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"]:
        assert time.monotonic() < until, f"CPUs are still taken: {ray.available_resources()}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    """A head with one core."""
    cluster = RayNodes(cpus=1)
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def assay(nodes: RayNodes, cache_root: Path) -> Iterator[Start]:
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
