"""ChosenThresholds that were smoothed: what reports and model cards say of them."""

from assay.production.model import card_of
from assay.storage import Record
from tests.analysis.made_studies import make_plan, make_record, markdown_of
from trainables.evaluation.evaluate import ChosenThresholds

PLAN = make_plan()


def smoothed(low: float, high: float, number: int = 0) -> Record:
    record = make_record(PLAN.trials[number])
    assert record.result is not None
    thresholds = ChosenThresholds(
        image=0.4,
        image_source="smoothed validation F1",
        pixel=0.5,
        pixel_source="validation IoU",
        image_range=(low, high),
    )
    return record.model_copy(update={"result": record.result.model_copy(update={"thresholds": thresholds})})


def test_a_model_card_has_a_smoothed_threshold_without_its_range() -> None:
    thresholds = card_of(smoothed(0.2, 0.6)).thresholds
    assert (thresholds.image, thresholds.image_source) == (0.4, "smoothed validation F1")


def test_a_report_says_within_which_range_thresholds_may_lie() -> None:
    records = [smoothed(low, 0.6, number) for number, low in enumerate((0.1, 0.25, 0.3))]
    page = markdown_of(PLAN, {record.id: record for record in records})
    text = (
        "Image threshold: at best smoothed validation F1, "
        "90 % of bootstrap draws within 0.25 and 0.6 (medians over"
    )
    assert text in page
