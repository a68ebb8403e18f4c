"""MLflow's values of a record."""

from __future__ import annotations

from assay.storage import StageResult
from assay.tracking.content import final_points
from tests.analysis.made_studies import make_plan, make_record


def test_stages_are_metrics_under_what_they_were_measured_on() -> None:
    record = make_record(make_plan().trials[0])
    assert record.result is not None
    stages = (
        StageResult(stage="cam", of="test", metrics={"pixel_ap": 0.5}),
        StageResult(stage="pseudo", of="train", metrics={"pixel_iou": 0.4}),
        StageResult(stage="cam × blur residual", of="floor", metrics={"pixel_ap": 0.3}),
    )
    result = record.result.model_copy(update={"stages": stages})
    points = final_points(record.model_copy(update={"result": result}))
    values = {point.name: point.value for point in points}
    assert values["test/cam/pixel_ap"] == 0.5
    assert values["train/pseudo/pixel_iou"] == 0.4
    assert values["floor/cam _ blur residual/pixel_ap"] == 0.3
