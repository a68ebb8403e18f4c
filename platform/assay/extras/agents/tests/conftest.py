"""Fixtures of the whole suite, for the tests of agents."""

from __future__ import annotations

from tests.cli.conftest import assay
from tests.conftest import cache_root, one_thread

__all__ = ["assay", "cache_root", "one_thread"]
