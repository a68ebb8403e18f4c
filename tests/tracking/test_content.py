"""MLflow's values of a record."""

from __future__ import annotations

from assay.tracking.content import experiment_note, final_points
from tests.analysis.made_studies import make_plan, make_record
from trainables.evaluation.metrics.regions import DefectScore
from trainables.evaluation.stage_maps import StageScores


def test_stages_are_metrics_under_what_they_were_measured_on() -> None:
    record = make_record(make_plan().trials[0])
    assert record.result is not None
    stages = (
        StageScores(stage="cam", of="test", metrics={"pixel_ap": 0.5}),
        StageScores(stage="pseudo", of="train", metrics={"pixel_iou": 0.4}),
        StageScores(stage="cam × blur residual", of="floor", metrics={"pixel_ap": 0.3}),
    )
    result = record.result.model_copy(update={"stages": stages})
    points = final_points(record.model_copy(update={"result": result}))
    values = {point.name: point.value for point in points}
    assert values["test/cam/pixel_ap"] == 0.5
    assert values["train/pseudo/pixel_iou"] == 0.4
    assert values["floor/cam _ blur residual/pixel_ap"] == 0.3


def test_defects_are_shares_under_their_class_or_size_where_there_are_any() -> None:
    record = make_record(make_plan().trials[0])
    assert record.result is not None
    counts = {"regions": 4, "detected": 3, "outlined": 1, "largest": 90}
    defects = (
        DefectScore(of="all", name="all", **counts, images=2, flagged=1),
        DefectScore(
            of="class", name="a b", regions=0, detected=0, outlined=0, largest=0, images=5, flagged=5
        ),
        DefectScore(of="size", name="small", **counts),
    )
    result = record.result.model_copy(update={"defects": defects})
    points = final_points(record.model_copy(update={"result": result}))
    assert {point.name: point.value for point in points if point.name.startswith("test/defects")} == {
        "test/defects/found": 0.75,
        "test/defects/outlined": 0.25,
        "test/defects/images": 0.5,
        "test/defects/class/a b/images": 1.0,
        "test/defects/size/small/found": 0.75,
        "test/defects/size/small/outlined": 0.25,
    }


def test_a_table_that_mlflow_has_no_room_for_ends_with_a_whole_row_and_says_so() -> None:
    rows = [f"| cell {number} | 0.9 |" for number in range(1000)]
    note = experiment_note("What pays?", "\n".join(rows))
    *lines, empty, last = note.splitlines()
    assert lines == ["What pays?", "", *rows[: len(lines) - 2]]
    assert (empty, last) == ("", "The table goes on: `assay report` has all of it.")
    assert 4900 < len(note) <= 5000
    assert experiment_note("What pays?", rows[0]) == f"What pays?\n\n{rows[0]}"
