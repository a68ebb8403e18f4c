"""Fixtures of the command line, and of the whole suite."""

from tests.cli.conftest import assay
from tests.conftest import cache_root

__all__ = ["assay", "cache_root"]
