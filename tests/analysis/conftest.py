"""What tests of tables of scores share."""

from __future__ import annotations

import pytest

from assay.analysis.scores import score_table


@pytest.fixture
def without_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no extra were installed that reads tables of scores."""
    monkeypatch.setattr(score_table, "EXTRAS", {})


@pytest.fixture(params=["with extras", "without extras"])
def with_and_without_extras(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain tables are judged alike, whatever extras are installed."""
    if request.param == "without extras":
        monkeypatch.setattr(score_table, "EXTRAS", {})
