"""Fixtures of this method's tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where stages lie that several tests' chains have in common."""
    return tmp_path_factory.mktemp("shared")
