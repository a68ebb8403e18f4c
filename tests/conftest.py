"""Fixtures of the whole suite: where the real images are, and one cache for all tests of a session."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
# For the processes that tests start: this checkout, and a third party's trainable.
PATHS = [ROOT / "tests" / "plugin", ROOT / "platform", ROOT]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [*map(str, PATHS), os.environ.get("PYTHONPATH")]))

# A shell starts what it runs in the background with Ctrl-C ignored, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

torch.set_num_threads(1)  # tiny images: more threads only wait for each other


@pytest.hookimpl(tryfirst=True)  # before what divides them reads their groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """How ``pytest -n 2 --dist loadgroup`` divides tests between processes.

    All that start Ray stay in one of them, and so does each file: its tests may share what took long to make.
    """
    for item in items:
        starts_ray = item.get_closest_marker("ray") or item.path.is_relative_to(ROOT / "tests" / "e2e")
        item.add_marker(pytest.mark.xdist_group("ray" if starts_ray else str(item.path)))


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


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray for all tests of a session, with two CPUs whatever the machine has."""
    import ray

    from assay.engine.cluster import start_local

    start_local(cpus=2)
    yield
    ray.shutdown()
