from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.cases import CASES, PAGE, written
from tests.data.cases.case import Case, run_case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_is_read_warned_of_or_refused_as_the_page_says(case: Case, tmp_path: Path) -> None:
    result = run_case(case, tmp_path / "root", tmp_path / "cache")
    assert result.outcome == case.outcome, result.text
    for part in case.says:
        assert part in result.text


def test_page_has_the_table_of_cases() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page), "run python -m tests.data.cases"


def test_each_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
