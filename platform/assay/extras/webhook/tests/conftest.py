"""Fixtures of the command line: a small study and its storage."""

from tests.cli.conftest import plan, store

__all__ = ["plan", "store"]
