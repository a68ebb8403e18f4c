"""Answers of the command line as JSON: one typed object each, with the name and version of its schema.

>>> json.loads(status_answer(...).text())["schema"]
'assay/status/1'

Within a version fields are added, never renamed, removed or given another meaning: that is the next version.
Numbers are those of the reports, with all their digits; ``null`` stands where there is none.
"""

from __future__ import annotations

from importlib import import_module
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
    "agent-report": "agents:AgentReportAnswer",
    "best": "results:BestAnswer",
    "best-points": "results:BestPointsAnswer",
    "labels": "results:LabelsAnswer",
    "judge": "results:JudgeAnswer",
    "gate": "results:GateAnswer",
    "data-check": "checks:DataAnswer",
    "settings": "checks:SettingsAnswer",
    "doctor": "checks:DoctorAnswer",
    "error": "base:ErrorAnswer",
}


def answer_schema(name: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the answer called ``name``.

    Raises:
        InputError: If there is none, with the nearest name.
    """
    if name not in ANSWERS:
        raise InputError(f"there is no answer called {name}; {nearest(name, [*ANSWERS, 'study'])}")
    module, _, kind = ANSWERS[name].partition(":")
    model = cast("type[BaseModel]", getattr(import_module(f"{__name__}.{module}"), kind))
    schema = model.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
