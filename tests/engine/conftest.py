"""One Ray for the whole session, and small studies of the toy trainable on synthetic images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.engine.toy_study import ToyStudy


@pytest.fixture
def toy(tmp_path: Path, cache_root: Path) -> Callable[..., ToyStudy]:
    """Make a toy study on a storage of its own: ``toy(seeds=(0,), seconds=0.2)``."""
    return partial(ToyStudy.make, tmp_path / "storage", cache_root)


@pytest.fixture
def free_cluster(ray_session: None) -> Iterator[None]:
    """After the test all CPUs are free and no placement group is left."""
    import ray
    from ray.util.placement_group import placement_group_table

    yield
    left = [entry for entry in placement_group_table().values() if entry["state"] != "REMOVED"]
    assert left == []
    assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"]
