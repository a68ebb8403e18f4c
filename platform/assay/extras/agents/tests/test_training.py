"""What an agent's training is told."""

from __future__ import annotations

from typing import Any

import pytest

from assay.extras.agents.training import train

_STUDY = """
study: small
trainable: segdec
data: {reader: synthetic}
metrics: {primary: image_ap}
repeats: {seeds: [0]}
"""
_SEARCH = """
search: {points: 2, objective: {max: validation.image_ap}}
space: {config.lr: {float: [0.01, 0.1]}}
"""


@pytest.mark.parametrize(("more", "hours"), [("", 0.5), (_SEARCH, None)])
def test_the_time_of_a_search_is_ended_by_the_alarm_alone(
    more: str, hours: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("assay.run", lambda study, **options: given.update(options))
    places = dict.fromkeys(("storage", "data", "cache", "local", "processes", "cpus", "asked_by"))
    assert train({"study": _STUDY + more, "origin": "agent", "seconds": 1800, **places}) == ""
    assert given["hours"] == hours
