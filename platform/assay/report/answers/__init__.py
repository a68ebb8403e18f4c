"""Answers of the command line as JSON: one typed object each, with the name and version of its schema.

>>> json.loads(status_answer(...).text())["schema"]
'assay/status/1'

Within a version fields are added, never renamed, removed or given another meaning: that is the next version.
Numbers are those of the reports, with all their digits; ``null`` stands where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, cast

from pydantic import BaseModel

from assay.report.answers.base import Answer, ErrorAnswer
from trainables.errors import InputError, nearest

__all__ = ["ANSWERS", "Answer", "ErrorAnswer", "answer_schema"]

# Name → module of this package and type, which is loaded when it is asked for.
ANSWERS = {
    "plan": "plans:PlanAnswer",
    "status": "progress:StatusAnswer",
    "status-all": "progress:StatusOfAllAnswer",
    "event": "progress:EventAnswer",
    "report": "results:ReportAnswer",
    "report-pair": "results:PairAnswer",
    "best": "results:BestAnswer",
    "best-points": "results:BestPointsAnswer",
    "labels": "results:LabelsAnswer",
    "judge": "results:JudgeAnswer",
    "data-check": "checks:DataAnswer",
    "settings": "checks:SettingsAnswer",
    "doctor": "checks:DoctorAnswer",
    "error": "base:ErrorAnswer",
}


def answer_schema(name: str, of_others: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the answer called ``name``.

    Args:
        name: One of ``ANSWERS``, or of those of others.
        of_others: Answers that are defined elsewhere: name → ``module:type``.

    Raises:
        InputError: If there is none, with the nearest name.
    """
    answers = {**{each: f"{__name__}.{place}" for each, place in ANSWERS.items()}, **of_others}
    if name not in answers:
        raise InputError(f"there is no answer called {name}; {nearest(name, [*answers, 'study'])}")
    module, _, kind = answers[name].partition(":")
    model = cast("type[BaseModel]", getattr(import_module(module), kind))
    schema = model.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
