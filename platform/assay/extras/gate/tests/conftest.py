"""Fixtures of the whole suite, for the tests of the gate."""

from __future__ import annotations

from tests.cli.conftest import assay, study_file
from tests.conftest import one_thread

__all__ = ["assay", "one_thread", "study_file"]
