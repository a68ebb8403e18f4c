"""The acceptance sheet of a model: exact rates of parts, the promise put to the test, and all mistakes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from scipy.stats import binomtest

from assay.analysis.best_model import best_trial
from assay.analysis.results.results import StudyResults
from assay.report.acceptance_sheet import AcceptanceSheet, acceptance_sheet, sheet_bytes
from assay.storage import Record, Store
from assay.storage.predictions import image_scores_of
from tests.analysis.made_studies import STUDY, make_plan, make_records, with_predictions
from trainables.data.threshold import Escapes, FalseAlarms
from trainables.errors import InputError
from trainables.evaluation.operating_point import rate_text
from trainables.evaluation.scorer import KeptPromise

PLAN = make_plan(STUDY)


def made(store: Store, *, shift: float = 1.5, promise: KeptPromise | None = None) -> Record:
    """A record of 20 parts with two images each, every third defective, with predictions."""
    record = with_predictions(store, next(iter(make_records(PLAN).values())), 0, shift=shift)
    assert record.result is not None
    assert record.result.thresholds is not None
    thresholds = record.result.thresholds.model_copy(update={"promise": promise})
    return record.model_copy(update={"result": record.result.model_copy(update={"thresholds": thresholds})})


def sheet_of(store: Store, record: Record) -> AcceptanceSheet:
    return acceptance_sheet(StudyResults(PLAN, {record.id: record}, store=store), store, record)


def test_rates_count_parts_and_have_exact_limits(store: Store) -> None:
    record = made(store)
    sheet = sheet_of(store, record)
    images = image_scores_of(record, store.read_part)
    assert images is not None
    parts = images.parts_or_images
    assert (sheet.false_alarms.wrong, sheet.false_alarms.parts) == (parts.fp, parts.fp + parts.tn)
    assert (sheet.escapes.wrong, sheet.escapes.parts) == (parts.fn, 7)
    known = binomtest(sheet.escapes.wrong, 7).proportion_ci(0.95, "exact")
    assert (sheet.escapes.low, sheet.escapes.high) == pytest.approx((known.low, known.high))
    limit = binomtest(sheet.escapes.wrong, 7, alternative="less").proportion_ci(0.95, "exact").high
    assert sheet.escapes.limit == pytest.approx(limit)
    assert rate_text(sheet.escapes.wrong, 7) in sheet_bytes(sheet, {}, ".md").decode()


def test_every_mistake_is_listed_once(store: Store) -> None:
    sheet = sheet_of(store, made(store))
    assert len(sheet.alarms) == sheet.false_alarms.wrong > 0
    assert len(sheet.escaped) == sheet.escapes.wrong
    names = [part.name for part in (*sheet.alarms, *sheet.escaped, *sheet.nearest)]
    assert len(set(names)) == len(names)
    assert all(part.above >= 0 for part in sheet.alarms)


@pytest.mark.parametrize(
    ("rule", "agrees"),
    [
        (FalseAlarms(false_alarms=0.001), False),
        (FalseAlarms(false_alarms=0.9), True),
        (Escapes(escapes=0.5), True),
    ],
)
def test_the_test_agrees_with_a_promise_or_contradicts_it(
    store: Store, rule: FalseAlarms | Escapes, agrees: bool
) -> None:
    promise = KeptPromise(rule=rule, wrong=0, parts=59, source="calibration")
    sheet = sheet_of(store, made(store, promise=promise))
    assert sheet.promise is not None
    rate = sheet.false_alarms if isinstance(rule, FalseAlarms) else sheet.escapes
    limit = rule.false_alarms if isinstance(rule, FalseAlarms) else rule.escapes
    assert sheet.promise.p == pytest.approx(binomtest(rate.wrong, rate.parts, limit, "greater").pvalue)
    assert sheet.promise.agrees is agrees
    assert ("CONTRADICTS" in sheet_bytes(sheet, {}, ".md").decode()) is not agrees


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("fixed 0.5", "no image (fixed 0.5)"),
        ("validation F1", "validation images, by the best balance of false alarms and escapes (F1)"),
        ("calibration: at most 5 % escapes, 95 % sure", "calibration images, by the rule: at most 5 %"),
    ],
)
def test_what_chose_the_threshold_stands_in_words(store: Store, source: str, words: str) -> None:
    sheet = sheet_of(store, made(store)).model_copy(update={"threshold_source": source})
    assert words in sheet_bytes(sheet, {}, ".md").decode()


def test_a_promise_that_no_test_part_can_refute_is_not_confirmed(store: Store) -> None:
    promise = KeptPromise(rule=FalseAlarms(false_alarms=0.1), wrong=0, parts=59, source="calibration")
    sheet = sheet_of(store, made(store, promise=promise))
    assert sheet.promise is not None
    none = sheet.promise.model_copy(update={"wrong": 0, "parts": 0, "p": 1.0})
    text = sheet_bytes(sheet.model_copy(update={"promise": none}), {}, ".md").decode()
    assert "cannot say whether it holds" in text
    assert "Sure: the share of thresholds" in text
    assert "contradict" not in text.lower()


def test_every_number_of_the_sheet_is_explained_on_it(store: Store) -> None:
    for form in (".md", ".html"):
        text = sheet_bytes(sheet_of(store, made(store)), {}, form).decode()
        for words in (
            "A part counts once",
            "At most: the true rate lies above it in 5 % of such tests",
            "of 20 parts, for this test alone",
            "the same product, camera and light",
            "1 model of 1 variant of this study was tested",
        ):
            assert words in text


def test_where_more_pictures_are_kept_than_fit_the_sheet_says_so(store: Store) -> None:
    sheet = sheet_of(store, made(store, shift=-3))
    kept = {name: b"jpeg" for part in (*sheet.escaped, *sheet.alarms) for name in part.images}
    page = sheet_bytes(sheet, kept, ".html").decode()
    assert len(kept) > 12 == page.count("<figure>")
    assert f"The first 12 of {len(kept)} pictures, escapes before false alarms." in page


def test_without_a_promise_the_sheet_says_so(store: Store) -> None:
    assert "promises nothing on new parts" in sheet_bytes(sheet_of(store, made(store)), {}, ".md").decode()


def test_pictures_are_those_of_mistakes(store: Store) -> None:
    sheet = sheet_of(store, made(store))
    wrong = sheet.alarms[0].images[0]
    page = sheet_bytes(sheet, {wrong: b"jpeg", "another": b"jpeg"}, ".html").decode()
    assert re.findall(r"<figcaption>(.*?)</figcaption>", page) == [wrong]
    assert f"Of 1 of the {len(sheet.alarms) + len(sheet.escaped)} parts decided wrongly" in page


def test_names_cannot_write_markup(store: Store) -> None:
    part = sheet_of(store, made(store)).alarms[0].model_copy(update={"name": "<b>|x"})
    sheet = sheet_of(store, made(store)).model_copy(update={"alarms": (part,), "question": "a<script>"})
    page = sheet_bytes(sheet, {}, ".html").decode()
    assert "&lt;b&gt;|x" in page
    assert "<script>" not in page


def test_the_document_holds_all_of_it(store: Store) -> None:
    sheet = sheet_of(store, made(store))
    document: dict[str, Any] = json.loads(sheet_bytes(sheet, {}, ".json"))
    assert AcceptanceSheet.model_validate(document) == sheet


def test_a_trial_without_predictions_has_no_sheet(store: Store) -> None:
    record = next(iter(make_records(PLAN).values()))
    with pytest.raises(InputError, match="needs a finished trial with its predictions"):
        sheet_of(store, record)


def without_validation(record: Record) -> Record:
    assert record.result is not None
    return record.model_copy(update={"result": record.result.model_copy(update={"validation": {}})})


def test_the_only_model_of_a_study_is_its_best_and_of_several_validation_chooses() -> None:
    records = {id_: without_validation(record) for id_, record in make_records(PLAN).items()}
    only = next(iter(records.values()))
    assert best_trial(StudyResults(PLAN, {only.id: only})) == only
    with pytest.raises(InputError, match="Name a trial, or give the study a validation part"):
        best_trial(StudyResults(PLAN, records))
