"""Statistics need more than records: the trials' predictions, and how often a study was analysed."""

from __future__ import annotations

import pytest

from assay.analysis.names import plan_names
from assay.analysis.results.left_out import left_out
from assay.analysis.results.results import StudyResults
from assay.analysis.test_set_uncertainty import ItemIntervals, item_intervals
from assay.report.page.markdown import markdown_page
from assay.report.pages import study_page
from assay.storage import Record, Store
from assay.storage.preregistration import read_interim_looks, record_interim_look
from assay.study import Plan
from tests.analysis.made_studies import STUDY, make_plan, make_records, with_predictions
from trainables.errors import InputError

PLAN = make_plan()


@pytest.fixture
def records(store: Store) -> dict[str, Record]:
    found = enumerate(make_records(PLAN).values())
    return {record.id: with_predictions(store, record, number) for number, record in found}


def results_of(records: dict[str, Record], store: Store, plan: Plan = PLAN) -> StudyResults:
    return StudyResults(plan, records, store=store, read_part=store.read_part)


def intervals_of(results: StudyResults) -> ItemIntervals:
    intervals = item_intervals(results)
    assert intervals is not None
    return intervals


def test_the_report_has_a_column_of_item_intervals(store: Store, records: dict[str, Record]) -> None:
    results = results_of(records, store)
    page = markdown_page(study_page(results))
    assert page.count("over test images |") == 3  # of cells, and of differences for each claim
    assert "Interval over test images: 95 % interval of AP had other test items been photographed" in page
    assert "over test images" not in markdown_page(study_page(results.without_predictions()))


def test_the_smallest_step_is_one_of_the_fewest_defective_images(
    store: Store, records: dict[str, Record]
) -> None:
    assert intervals_of(results_of(records, store)).smallest_step == 1 / 14


def test_a_perfect_cell_is_told_in_a_note(store: Store, records: dict[str, Record]) -> None:
    cell = PLAN.cells[0].name
    ids = [trial.id for trial in PLAN.trials if trial.cell == cell]
    perfect = {id_: with_predictions(store, records[id_], 0, shift=60) for id_ in ids}
    page = markdown_page(study_page(results_of(records | perfect, store)))
    assert (
        f"- ¹ {plan_names(PLAN).variant(cell)}: no error on 7 defective items; at most 35 % missed (95 %)"
        in page
    )


def test_a_difference_is_that_of_the_repeats_which_both_cells_have(
    store: Store, records: dict[str, Record]
) -> None:
    """Those of one cell alone change nothing, as in the row's own difference."""
    first, second = (cell.name for cell in PLAN.cells[:2])
    alone = next(trial.id for trial in PLAN.trials if trial.cell == second)
    others = {id_: record for id_, record in records.items() if id_ != alone}
    seed = records[alone].trial["seed"]
    without = {
        id_: record
        for id_, record in others.items()
        if not (record.trial["cell"] == first and record.trial["seed"] == seed)
    }
    kept, fewer = (
        intervals_of(results_of(some, store)).difference(second, first) for some in (others, without)
    )
    assert (kept.low, kept.high) == (fewer.low, fewer.high)
    assert kept.low is not None


def test_damaged_predictions_are_named_and_left_out(store: Store, records: dict[str, Record]) -> None:
    lost = PLAN.trials[0].id
    record = records[lost]
    store.write_bytes(f"{store.trial(lost)}/{record.attempt}/predictions.parquet", b"cut short")
    results = results_of(records, store)
    assert len(intervals_of(results).trials[PLAN.trials[0].cell]) == 2
    assert f"- Intervals over test images leave out trial {lost}: " in markdown_page(study_page(results))


def test_predictions_that_are_all_gone_leave_dashes_and_a_sentence_each(
    store: Store, records: dict[str, Record]
) -> None:
    for trial_id in records:
        store.delete_tree(store.trial(trial_id))
    page = markdown_page(study_page(results_of(records, store)))
    assert "over test images |" in page
    for trial_id in records:
        assert (
            f"- Intervals over test images leave out trial {trial_id}: its predictions.parquet is gone"
            in page
        )


@pytest.mark.parametrize(
    ("name", "cost"),
    [
        ("maps.parquet", "no picture shows them"),
        ("curve.parquet", "they have no learning curve"),
        ("model/model.safetensors", "they neither predict nor export"),
    ],
)
def test_files_that_are_gone_are_named_with_what_it_costs(
    store: Store, records: dict[str, Record], name: str, cost: str
) -> None:
    lost = next(iter(records.values()))
    named = {**lost.files, f"{lost.attempt}/{name}": "ab" * 32}
    results = results_of({**records, lost.id: lost.model_copy(update={"files": named})}, store)
    (sentence,) = left_out(results)
    assert (
        sentence
        == f"Gone: {name.split('/', maxsplit=1)[0]} of 1 trial ({lost.id}): {cost}. `assay check` says more."
    )
    assert f"- {sentence}" in markdown_page(study_page(results))


def test_without_predictions_or_for_another_metric_there_is_no_item_interval(
    store: Store, records: dict[str, Record]
) -> None:
    assert item_intervals(results_of(make_records(PLAN), store)) is None
    other = make_plan(STUDY.replace("primary: image_ap", "primary: image_auroc"))
    assert item_intervals(results_of(records, store, other)) is None


def test_each_number_of_seeds_is_a_look_once(store: Store) -> None:
    more = make_plan(STUDY.replace("[0, 1, 2]", "[0, 1, 2, 3, 4]"))
    assert read_interim_looks(store, "additions") == ()
    for plan in (PLAN, PLAN, more, PLAN):
        record_interim_look(store, plan)
    assert read_interim_looks(store, "additions") == ((0, 1, 2), (0, 1, 2, 3, 4))


def test_a_study_of_one_cell_compares_nothing_and_is_not_looked_at(store: Store) -> None:
    record_interim_look(store, PLAN.model_copy(update={"cells": PLAN.cells[:1]}))
    assert read_interim_looks(store, "additions") == ()


def test_looks_that_cannot_be_read_are_refused(store: Store) -> None:
    store.write_bytes("studies/additions/looks.json", b"{}]")
    with pytest.raises(InputError, match="counts how often the study was analysed"):
        read_interim_looks(store, "additions")
