"""Fixtures of the command line."""

from tests.cli.conftest import assay, study_file

__all__ = ["assay", "study_file"]
