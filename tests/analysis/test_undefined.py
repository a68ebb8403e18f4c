"""Why a repeat has no value: its record says it by metric, and older records in a note."""

from __future__ import annotations

import pytest

from assay.analysis.summary import outcome
from tests.analysis.made_studies import make_plan, make_record

OLD_NOTES = ("image threshold: best F1 at 0.4", "AP, PRO undefined on test: no normal image")


@pytest.mark.parametrize(
    ("undefined", "notes", "metric", "reason"),
    [
        ({"image_f1": "no defective image"}, (OLD_NOTES[0],), "image_f1", "no defective image"),
        ({}, (), "pixel_pro", "not measured when it was trained"),
        (None, OLD_NOTES, "pixel_pro", OLD_NOTES[1]),
        (None, (), "pixel_pro", None),
    ],
)
def test_a_metric_without_value_has_the_reason_of_its_record(
    undefined: dict[str, str] | None, notes: tuple[str, ...], metric: str, reason: str | None
) -> None:
    record = make_record(make_plan().trials[0], scores=lambda _: {"fp": 1.0})
    assert record.result is not None
    result = record.result.model_copy(update={"undefined": undefined, "notes": notes})
    assert outcome(record.model_copy(update={"result": result}), metric, False) == ("undefined", reason)
