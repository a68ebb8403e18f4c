"""Fixtures of the whole suite: where the real images are, and one cache for all tests of a session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # tiny images: more threads only wait for each other


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with KolektorSDD.zip, MTD/ and splits/; tests that need it are skipped without it."""
    root = Path(os.environ.get("ASSAY_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not root.is_dir():
        pytest.skip(f"the real images are not at {root}: set ASSAY_DATA to the folder that holds them")
    return root


@pytest.fixture(scope="session")
def cache_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that all tests share: archives are unpacked and synthetic images rendered once a session."""
    chosen = os.environ.get("ASSAY_CACHE")
    return Path(chosen) if chosen else tmp_path_factory.mktemp("cache")
