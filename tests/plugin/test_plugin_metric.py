"""A metric of another package: measured, recorded, summarised, shown, and good for a question of its own."""

from __future__ import annotations

import numpy as np
import pytest

from assay.analysis.results.results import StudyResults
from assay.report.tables.cells import metric_title
from assay.study import parse_study, plan_study
from tests.evaluation.evaluate_scenes import CPU, Brightness, make_set
from trainables.data import EvaluationData
from trainables.errors import InputError
from trainables.evaluation.evaluate import evaluate
from trainables.evaluation.metrics import METRICS, HeatmapMetric, PixelScores

STUDY = "study: s\ntrainable: toy\ndata: {reader: synthetic}\nmetrics: {primary: %s, report: [image_ap]}\n"


def test_it_is_measured_on_validation_and_test_beside_the_others() -> None:
    data = EvaluationData(make_set("val", 15, seed=2, masks=True), make_set("test", 18, seed=1, masks=True))
    evaluation = evaluate(Brightness(), data, device=CPU, batch=4, probes=2, seed=0)
    counts = evaluation.predictions
    blank = sum(
        tp == 0 for tp, label in zip(counts["tp"].to_pylist(), data.test.labels, strict=True) if label
    )
    assert evaluation.metrics["defects_missed"] == blank, "each defective image of the scene has one defect"
    assert "defects_missed" in evaluation.validation


def test_it_gets_every_heatmap_with_its_mask_as_they_were() -> None:
    pixels, rng = PixelScores(), np.random.default_rng(0)
    pairs = [(rng.random((7, 5), dtype=np.float32), rng.random((7, 5)) < 0.3) for _ in range(3)]
    for heatmap, truth in pairs:
        pixels.add(heatmap, truth)
    for (heatmap, truth), image in zip(pairs, pixels.images(), strict=True):
        assert np.array_equal(image.heatmap, heatmap)
        assert np.array_equal(image.truth, truth)


@pytest.mark.parametrize(("threshold", "missed"), [(0.2, 0), (0.5, 1), (0.95, 2)])
def test_it_is_decided_at_the_threshold(threshold: float, missed: int) -> None:
    pixels = PixelScores()
    pixels.add(np.array([[0.9, 0.1, 0.3]], np.float32), np.array([[True, False, True]]))
    assert pixels.metrics(threshold)["defects_missed"] == missed


def test_it_is_the_primary_metric_of_a_study() -> None:
    plan = plan_study(parse_study(STUDY % "defects_missed", "s.yaml"), None, "cpu")
    primary = StudyResults(plan, {}).primary
    assert metric_title(primary) == "defects missed ↓"
    assert (primary.scale, primary.text(3.0), primary.worst) == ("defects", "3", None)


def test_a_name_that_is_nearly_its_own_is_refused_with_it() -> None:
    with pytest.raises(InputError, match="did you mean `defects_missed`"):
        plan_study(parse_study(STUDY % "defect_missed", "s.yaml"), None, "cpu")


def test_a_value_that_is_no_number_is_refused_with_its_metric() -> None:
    metric = METRICS["defects_missed"]
    assert isinstance(metric, HeatmapMetric)
    with pytest.raises(ValueError, match="metric defects_missed is a finite number, found nan"):
        metric.checked(float("nan"))
