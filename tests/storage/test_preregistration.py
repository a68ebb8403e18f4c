"""What a study asked before its first trial is kept, and each change of it."""

from __future__ import annotations

import pytest

from assay.analysis.results.reading import needed_plan
from assay.analysis.results.results import StudyResults
from assay.api.running import begin_study
from assay.report.tables.footnotes import footnotes
from assay.storage import Store
from assay.storage.preregistration import (
    format_changes,
    format_replaced_looks,
    preregister,
    question_of,
    read_preregistrations,
)
from assay.study import Plan
from tests.analysis.made_studies import STUDY, make_plan, make_record, make_records
from tests.study.searches import search_with
from tests.study.toy import plan as toy_plan
from trainables.errors import InputError

PLAN = make_plan()


def test_a_question_is_preregistered_once_however_often_it_is_run(store: Store) -> None:
    for _ in range(3):
        preregister(store, PLAN)
    (entry,) = read_preregistrations(store, "additions")
    assert (entry.primary, entry.resolve, entry.looks, entry.ended) == ("image_ap", None, (3,), 0)
    assert len(entry.comparisons) == 4


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("repeats:", "resolve: 0.01\nrepeats:", "`resolve` none → 0.01"),
        ("[0, 1, 2]", "[0, 1, 2, 3]", "looks at 3 seeds → at 4 seeds"),
        ("primary: image_ap", "primary: image_auroc", "primary metric image_ap → image_auroc"),
        ("{factor: stop}, ", "", "0 comparisons added, 2 dropped"),
        ("Which addition pays?", "Which one?", "question reworded"),
        ("[fp, pixel_iou]", "[fp]", "other `metrics.report`"),
    ],
)
def test_a_change_of_the_question_is_preregistered_beside_it(
    store: Store, before: str, after: str, text: str
) -> None:
    preregister(store, PLAN)
    preregister(store, make_plan(STUDY.replace(before, after)))
    first, second = read_preregistrations(store, "additions")
    assert first.study == PLAN.study.content_hash
    assert format_changes(first, second) == text


def test_the_page_says_since_when_the_question_stands_and_when_it_was_changed(store: Store) -> None:
    assert "registered" not in " ".join(footnotes(StudyResults(PLAN, {}, store=store)))
    preregister(store, PLAN)
    assert (
        "Primary metric, `resolve`, comparisons and looks were preregistered before its first trial; "
        "unchanged since."
    ) in footnotes(StudyResults(PLAN, {}, store=store))
    for record in make_records(PLAN).values():
        store.write_record(record)
    changed = make_plan(STUDY + "resolve: 0.01\n")
    preregister(store, changed)
    at = read_preregistrations(store, "additions")[1].at
    assert (
        f"changed since: `resolve` none → 0.01 ({at:%Y-%m-%d %H:%M} UTC, "
        "12 trials of the changed question had ended)."
        in " ".join(footnotes(StudyResults(changed, {}, store=store)))
    )


def test_that_a_part_is_asked_whether_it_can_go_is_registered(store: Store) -> None:
    study = STUDY + "resolve: 0.01\n"
    preregister(store, make_plan(study))
    preregister(store, make_plan(study.replace("{factor: stop}", "{factor: stop, ask: can go}")))
    first, second = read_preregistrations(store, "additions")
    assert format_changes(first, second) == "`can go` asked of 0 → 2 comparisons"
    assert first.comparisons == second.comparisons


def test_a_change_before_any_result_is_none_worth_a_note(store: Store) -> None:
    begin_study(store, PLAN)
    changed = make_plan(STUDY + "resolve: 0.01\n")
    begin_study(store, changed)
    notes = " ".join(footnotes(StudyResults(changed, {}, store=store)))
    assert "were preregistered before its first trial; unchanged since." in notes


def test_the_page_says_how_many_trials_had_ended_of_the_question_before(store: Store) -> None:
    begin_study(store, PLAN)
    for record in make_records(PLAN).values():
        store.write_record(record)
    changed = make_plan(STUDY.replace("config: {", "config: {lr: 0.3, "))
    assert not {trial.id for trial in changed.trials} & {trial.id for trial in PLAN.trials}
    begin_study(store, changed)
    notes = " ".join(footnotes(StudyResults(changed, {}, store=store)))
    assert "0 trials of the changed question and 12 of the one before had ended)." in notes


def test_of_a_plan_that_cannot_be_read_nobody_says_how_many_trials_had_ended(store: Store) -> None:
    begin_study(store, PLAN)
    store.write_bytes("studies/additions/plan.parquet", b"no plan")
    begin_study(store, make_plan(STUDY + "resolve: 0.01\n"))
    assert [entry.ended_before for entry in read_preregistrations(store, "additions")] == [None, None]


def repeats(text: str) -> Plan:
    return make_plan(STUDY.replace("{seeds: [0, 1, 2]}", f"{{{text}}}\nresolve: 0.02"))


@pytest.mark.parametrize(
    ("before", "trained", "after", "replaced"),
    [
        ("decide: [6, 8]", 6, "decide: [6, 8, 10]", "at 6, 8 seeds"),
        ("seeds: [0, 1, 2, 3, 4, 5]", 6, "decide: [6, 8]", "at 6 seeds"),
        ("decide: [6, 8]", 5, "decide: [6, 8, 10]", ""),  # nothing was looked at yet
        ("seeds: [0, 1, 2, 3, 4]", 5, "decide: [6, 8]", ""),  # five seeds show nothing
        ("decide: [6, 8]", 6, "decide: [6, 8]", ""),
        ("seeds: [0, 1, 2, 3, 4, 5]", 6, "seeds: [0, 1, 2, 3, 4, 5, 6]", ""),  # these share their error
    ],
)
def test_looks_that_replace_others_after_verdicts_are_warned_of_and_noted(
    store: Store, before: str, trained: int, after: str, replaced: str
) -> None:
    begin_study(store, repeats(before))
    plan = repeats(after)
    records = {trial.id: make_record(trial) for trial in plan.trials if trial.seed < trained}
    for record in records.values():
        store.write_record(record)
    _, warnings = begin_study(store, plan)
    notes = footnotes(StudyResults(needed_plan(plan, records), records, store=store))
    told = f"replaces looks {replaced}, which may have shown something" in " ".join(warnings)
    noted = f"replace looks {replaced}, which may have shown something" in " ".join(notes)
    assert (told, noted) == (bool(replaced), bool(replaced))
    assert ("may be open again" in " ".join(warnings)) == bool(replaced)


def test_looks_of_a_study_that_had_more_cells_are_noted_too(store: Store) -> None:
    preregister(store, repeats("decide: [6, 8]"))
    fewer = STUDY.replace("full: all", "one_at_a_time: {base: {supervision: full, stop: off}}")
    plan = make_plan(fewer.replace("{seeds: [0, 1, 2]}", "{decide: [6, 8, 10]}\nresolve: 0.02"))
    for trial in plan.trials:
        if trial.seed < 6:
            store.write_record(make_record(trial))
    preregister(store, plan)
    entries = read_preregistrations(store, "additions")
    assert [entry.cells for entry in entries] == [4, 3]
    assert format_replaced_looks(entries) == "at 6, 8 seeds"


def test_more_points_of_a_search_are_told_as_such(store: Store) -> None:
    study = search_with()
    for points in (6, 8):
        preregister(store, toy_plan(search_with(search={"points": points})))
    assert format_changes(*read_preregistrations(store, study.study)) == "points 6 → 8"


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({"methods": ("blur@1",)}, {"methods": ("blur@2",)}, "method blur@1 → blur@2"),
        ({"data": ("1",)}, {"data": ("2",)}, "other images, labels or masks"),
        # What the file itself says is named once.
        (
            {"methods": ("cam",), "keys": {"trainable": "1"}},
            {"methods": ("segdec",), "keys": {"trainable": "2"}},
            "method cam → segdec",
        ),
        (
            {"data": ("1",), "keys": {"data.classes": "1"}},
            {"data": ("2",), "keys": {"data.classes": "2"}},
            "other `data.classes`",
        ),
    ],
)
def test_another_method_or_other_data_are_named_also_below_the_same_text_of_the_file(
    before: dict[str, object], after: dict[str, object], text: str
) -> None:
    entry = question_of(PLAN)
    assert format_changes(entry.model_copy(update=before), entry.model_copy(update=after)) == text


def test_an_entry_names_who_asked(store: Store) -> None:
    preregister(store, PLAN, "coder 1.0")
    (entry,) = read_preregistrations(store, "additions")
    assert entry.asked_by == "coder 1.0"


@pytest.mark.parametrize(("content", "what"), [(b"{}]", "cannot be read"), (b'{"entries":[{}]}', "cannot")])
def test_a_preregistration_that_cannot_be_read_is_refused(store: Store, content: bytes, what: str) -> None:
    store.write_bytes("studies/additions/registered.json", content)
    with pytest.raises(InputError, match=f"says what was asked before the first trial and {what}"):
        read_preregistrations(store, "additions")


@pytest.mark.parametrize(
    ("replicate", "count"),
    [
        ({"start": True}, 1),
        ({}, 0),
    ],
)
def test_a_search_registers_what_its_winner_may_be_compared_with(
    store: Store, replicate: dict[str, bool], count: int
) -> None:
    study = search_with(replicate={"best": 1, "seeds": [10, 11], **replicate})
    preregister(store, toy_plan(study))
    (entry,) = read_preregistrations(store, study.study)
    assert len({*entry.of_winners}) == count


def test_the_comparisons_of_winners_change_no_question(store: Store) -> None:
    made = toy_plan(search_with(replicate={"best": 1, "seeds": [10, 11], "start": True}))
    before = question_of(made).model_copy(update={"of_winners": ()})
    assert before.question == question_of(made).question
