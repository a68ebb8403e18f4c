"""Fixtures of the whole suite, and a small study in its storage."""

from tests.cli.conftest import plan, store
from tests.conftest import cache_root

__all__ = ["cache_root", "plan", "store"]
