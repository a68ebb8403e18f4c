"""One small real study for the whole session: run once by the program itself, read by many tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.small_study import SmallStudy, small_text


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory, cache_root: Path) -> SmallStudy:
    """The quickstart's cells with two seeds, trained through ``assay run``."""
    study = SmallStudy(tmp_path_factory.mktemp("small"), cache_root, small_text())
    answer = study.assay("run", str(study.file))
    (study.storage / "run.txt").write_text(answer.stdout)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return study
