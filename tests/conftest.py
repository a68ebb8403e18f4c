"""Fixtures of the whole suite: where the real images are, and one cache for all tests of a session."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Tiny images: more threads only wait for each other, here and in the programs that tests start. Libraries
# read it when they are loaded: before NumPy and torch are.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from tests.helpers.leftovers import end_with_this_process

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

    from assay.storage import Store

ROOT = Path(__file__).parents[1]
# For the processes that tests start: this checkout, and a third party's trainable.
PATHS = [ROOT / "tests" / "plugin", ROOT / "platform", ROOT]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [*map(str, PATHS), os.environ.get("PYTHONPATH")]))

# What tests start ends with the run; processes of pytest-xdist are themselves of it.
if "PYTEST_XDIST_WORKER" not in os.environ:
    end_with_this_process()

# A container that says that no bytecode is kept has each of a thousand processes compile assay anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Ray's workers give way to every other process of a machine: beside tests that compute they would hardly run.
os.environ.setdefault("RAY_worker_niceness", "0")

# A shell starts what it runs in the background with Ctrl-C ignored, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests that share what is dear to make stay together: a Ray, a study and servers of pages, trained models.
# These groups and the files that start programs or nodes with a Ray of their own take longest:
# they come first.
_TOGETHER = {
    "tests/e2e/dashboard/": "pages",
    "tests/e2e/test_quickstart.py": "pages",
    "tests/production/": "exports",
    "tests/focus/": "chains",
    "tests/regioncam/": "chains",
    "tests/cam/": "chains",
}
_SHARED = {"ray_session": "ray", "free_cluster": "ray", "odd: Odd": "odd"}  # by their fixtures
_FIRST = (
    "ray",
    "pages",
    "tests/engine/cluster/test_cluster.py",
    "tests/e2e/",
    "platform/assay/extras/slurm/",
    "tests/engine/",
    "exports",
    "chains",
    "odd",
    "tests/runtime/test_gpu_check.py",  # few tests of many seconds, which came last, one core idle
    "platform/assay/extras/gate/tests/test_gate.py",
)

torch.set_num_threads(1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """``pytest -n 4``: tests with the session's Ray stay in one process, and so do the tests of a file."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    config.option.loadscopereorder = False  # in the order of the collection
    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes test: groups that take long first, then files with many tests."""
    if not hasattr(config, "workerinput"):
        return
    tests = Counter(_group(item.nodeid) for item in items)

    def place(item: pytest.Item) -> tuple[int, int]:
        group = _group(item.nodeid)
        firsts = (place for place, first in enumerate(_FIRST) if group.startswith(first))
        return next(firsts, len(_FIRST)), -tests[group]

    items.sort(key=place)


def _group(nodeid: str) -> str:
    """What one process of a run tests from its first test to its last."""
    file = nodeid.partition("::")[0]
    return _group_of_file(file)


@cache
def _group_of_file(file: str) -> str:
    text = (ROOT / file).read_text(encoding="utf-8")
    groups = [group for place, group in _TOGETHER.items() if file.startswith(place)]
    groups += [group for fixture, group in _SHARED.items() if fixture in text]
    return groups[0] if groups else file


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """As above, whatever the test before has asked torch for."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with KolektorSDD.zip, MTD/ and splits/; tests that need it are skipped without it."""
    named = os.environ.get("ASSAY_DATA")
    if not named:
        pytest.skip("needs real images: set ASSAY_DATA to the folder that holds KolektorSDD.zip and MTD/")
    root = Path(named).expanduser().resolve()  # tests run the program in folders of their own
    if not root.is_dir():
        pytest.skip(f"needs real images, and ASSAY_DATA names {root}, which is no folder")
    return root


@pytest.fixture(scope="session")
def cache_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that all tests share: archives are unpacked and synthetic images rendered once a session."""
    chosen = os.environ.get("ASSAY_CACHE")
    return Path(chosen) if chosen else tmp_path_factory.mktemp("cache")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A storage without results."""
    from assay.storage import Store

    return Store(tmp_path)


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray for all tests of a session, with two CPUs whatever the machine has."""
    from assay.engine.cluster.cluster import cluster
    from assay.engine.interrupts import Ending

    with cluster(2, Ending(), lambda text: None):
        yield
