"""Metrics that came after a record was written, and intervals of rates over parts."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from assay.analysis.predictions import exact_interval, measured_records, with_derived_metrics
from assay.analysis.results.results import StudyResults
from assay.analysis.summary import metric_summary, outcome
from assay.report.page.markdown import markdown_page
from assay.report.pages import study_page
from assay.storage import Record, Store
from assay.storage.predictions import image_scores_of
from tests.analysis.made_studies import STUDY, make_plan, make_records, with_predictions
from trainables.evaluation.metrics import METRICS, image_metrics
from trainables.evaluation.metrics.regions import DefectScore

PLAN = make_plan(STUDY.replace("report: [fp, pixel_iou]", "report: [escapes, defects_found, aupimo]"))
DEFECTS = (DefectScore(of="all", name="all", regions=8, detected=6, outlined=3, largest=40),)


@pytest.fixture
def records(store: Store) -> dict[str, Record]:
    """Records of a study that asked for no metric by choice."""
    made = {}
    for number, record in enumerate(make_records(PLAN).values()):
        assert record.result is not None
        result = record.result.model_copy(update={"undefined": {}, "defects": DEFECTS})
        made[record.id] = with_predictions(store, record.model_copy(update={"result": result}), number)
    return made


def test_metrics_of_images_and_defects_follow_from_what_a_record_kept(
    store: Store, records: dict[str, Record]
) -> None:
    results = StudyResults(PLAN, records, store=store)
    record = next(iter(measured_records(results).values()))
    images = image_scores_of(record, store.read_part)
    assert images is not None
    expected = image_metrics(images.labels, images.scores, 0.4, images.items)["escapes"]
    assert outcome(record, "escapes") == expected
    assert outcome(record, "defects_found") == 6 / 8
    assert outcome(record, "aupimo") == ("undefined", "not measured when it was trained")
    assert metric_summary(results, "escapes")[0].n == 3


def test_what_a_record_says_is_never_computed_again(store: Store, records: dict[str, Record]) -> None:
    record = next(iter(records.values()))
    assert record.result is not None
    said = {"metrics": {"escapes": 7.0}, "undefined": {"defects_found": "no mask"}}
    record = record.model_copy(update={"result": record.result.model_copy(update=said)})
    metrics = [METRICS["escapes"], METRICS["defects_found"]]
    assert with_derived_metrics({"": record}, metrics, store.read_part) == {"": record}


def test_predictions_that_are_gone_leave_a_metric_unmeasured(
    store: Store, records: dict[str, Record]
) -> None:
    lost = next(iter(records.values()))
    store.delete_tree(f"{store.trial(lost.id)}/{lost.attempt}/predictions.parquet")
    measured = measured_records(StudyResults(PLAN, records, store=store))[lost.id]
    assert outcome(measured, "escapes") == ("undefined", "not measured when it was trained")


def test_a_report_shows_derived_metrics_with_intervals_over_parts(
    store: Store, records: dict[str, Record]
) -> None:
    page = markdown_page(study_page(StudyResults(PLAN, records, store=store, read_part=store.read_part)))
    assert "| 0.750 ± 0.000 |" in page
    assert (
        "Escapes per 1,000, parts of a test with the exact upper limit (95 % sure) and the 95 % interval: "
        in page
    )
    assert " of 7 (at most " in page, "of 20 items every third is defective"


def test_counts_of_images_have_the_limit_of_their_rate(store: Store, records: dict[str, Record]) -> None:
    plan = make_plan(STUDY.replace("report: [fp, pixel_iou]", "report: [fp, fn]"))
    page = markdown_page(study_page(StudyResults(plan, records, store=store, read_part=store.read_part)))
    assert "FN, images of a test with the exact upper limit (95 % sure): " in page
    assert " of 14 (at most " in page, "a part has two images"


def test_rates_up_to_a_thousand_are_written_out(store: Store, records: dict[str, Record]) -> None:
    missed = {id_: with_predictions(store, record, 0, shift=-20) for id_, record in records.items()}
    page = markdown_page(study_page(StudyResults(PLAN, missed, store=store, read_part=store.read_part)))
    assert "7 of 7 (at most 100 %), 590.4 to 1000.0" in page


@pytest.mark.parametrize(("errors", "parts"), [(0, 12), (3, 12), (12, 12), (1, 400)])
def test_intervals_over_parts_are_exact(errors: int, parts: int) -> None:
    known = binomtest(errors, parts).proportion_ci(0.95, "exact")
    assert exact_interval(errors, parts) == pytest.approx((known.low, known.high))
