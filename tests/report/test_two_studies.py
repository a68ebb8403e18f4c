"""Two studies side by side: settings that differ, scores, and differences on the same test images."""

from __future__ import annotations

import pytest

from assay.analysis.results.results import StudyResults
from assay.analysis.study_pair import pair_studies
from assay.report.formats import FORMATS
from assay.report.page.model import Page, Section
from assay.report.pages import pair_page
from assay.storage import Environment
from assay.study import Plan, Trial
from assay.study.search.points import make_point
from tests.analysis.made_studies import STUDY, make_plan, make_record, make_records
from trainables.errors import InputError
from trainables.plugins.catalogue import find_trainable

SEEDS = ", ".join(map(str, range(8)))
FIRST = STUDY.replace("[0, 1, 2]", f"[{SEEDS}]").replace("splits: per_seed", "splits: published")
SECOND = FIRST.replace("study: additions", "study: longer").replace(
    "preset: ksdd", "preset: ksdd, epochs: 77"
)


def better(trial: Trial) -> dict[str, float]:
    return {"image_ap": 0.9 + 0.001 * trial.seed, "fp": 1.0, "pixel_iou": 0.5}


def of(plan: Plan) -> StudyResults:
    return StudyResults(plan, make_records(plan))


def sections_of(one: StudyResults, other: StudyResults) -> dict[str, Section]:
    """Sections by the first word of their titles."""
    page = page_of(one, other)
    sections = [*([] if page.answer is None else [page.answer]), *page.sections]
    return {section.title.partition(" ")[0]: section for section in sections}


def page_of(one: StudyResults, other: StudyResults) -> Page:
    return pair_page(pair_studies(one, other))


def rows_of(section: Section) -> tuple[tuple[str, ...], ...]:
    assert section.table is not None
    return section.table.rows


def second_side(text: str = SECOND) -> StudyResults:
    plan = make_plan(text)
    return StudyResults(plan, {trial.id: make_record(trial, better) for trial in plan.trials})


def test_what_differs_is_named_once_for_all_cells_with_both_values() -> None:
    page = sections_of(of(make_plan(FIRST)), second_side())
    assert rows_of(page["What"]) == (("all", "config.epochs", "50", "77"),)


def test_what_differs_in_one_cell_only_is_named_for_it() -> None:
    other = SECOND.replace("mixed: 5", "mixed: 6")
    rows = rows_of(sections_of(of(make_plan(FIRST)), second_side(other))["What"])
    assert ("supervision=few stop=on", "supervision", "mixed: 5", "mixed: 6") in rows
    assert ("all", "config.epochs", "50", "77") in rows


def on_device(side: StudyResults, device: str) -> StudyResults:
    environment = Environment(device=device, instructions="AVX2")
    records = {
        id_: record.model_copy(update={"environment": environment}) for id_, record in side.records.items()
    }
    return StudyResults(side.plan, records)


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [("cpu", "cuda:0", [("all", "device", "cpu", "cuda")]), ("cuda:0", "cuda:1", [])],
)
def test_the_kind_of_device_is_a_difference_and_its_number_is_none(
    first: str, second: str, named: list[tuple[str, ...]]
) -> None:
    left, right = on_device(of(make_plan(FIRST)), first), on_device(second_side(), second)
    rows = rows_of(sections_of(left, right)["What"])
    assert [row for row in rows if row[1] == "device"] == named


def test_where_one_study_has_trained_nothing_no_device_differs() -> None:
    left = on_device(of(make_plan(FIRST)), "cuda:0")
    rows = rows_of(sections_of(left, StudyResults(make_plan(SECOND), {}))["What"])
    assert rows == (("all", "config.epochs", "50", "77"),)


def test_scores_stand_beside_each_other() -> None:
    table = page_of(of(make_plan(FIRST)), second_side()).table
    assert [column.title for column in table.columns] == [
        "variant",
        "AP in additions",
        "n",
        "AP in longer",
        "n",
    ]
    assert table.rows[0] == ("supervision=full stop=off", "0.855 ± 0.024", "8", "0.903 ± 0.002", "8")


def test_repeats_on_the_same_test_images_are_compared_in_pairs() -> None:
    section = sections_of(of(make_plan(FIRST)), second_side())["Answer"]
    assert section.intro.startswith("Difference: longer minus additions, with all that differs between them.")
    assert ("additions → longer, supervision=full stop=off", "+0.049 [0.030, 0.067]", "8 of 8") in [
        row[1:4] for row in rows_of(section)
    ]
    assert rows_of(section)[0][0].startswith("Keep")


def test_only_common_repeats_count() -> None:
    other = second_side(SECOND.replace(f"[{SEEDS}]", "[0, 1, 2, 30]"))
    section = sections_of(of(make_plan(FIRST)), other)["Answer"]
    assert rows_of(section)[0][3] == "3 of 3"


@pytest.mark.parametrize("lacking", [0, 1], ids=["the first", "the second"])
def test_while_a_record_is_missing_there_are_no_verdicts(lacking: int) -> None:
    sides = [of(make_plan(FIRST)), second_side()]
    whole = sides[lacking]
    records = {id_: record for id_, record in whole.records.items() if id_ != whole.plan.trials[0].id}
    sides[lacking] = StudyResults(whole.plan, records)
    comparisons = pair_studies(*sides).comparisons
    assert {result.verdict for result in comparisons} == {"interim"}
    assert [result.n for result in comparisons] == [7, 8, 8, 8]


def test_a_side_that_has_not_begun_has_no_spread() -> None:
    waiting = StudyResults(make_plan(SECOND), {})
    notes = page_of(of(make_plan(FIRST)), waiting).notes
    assert notes[0] == "Mean ± standard deviation over 8 seeds, on test images."
    assert "Mean ±" not in str(page_of(waiting, StudyResults(make_plan(FIRST), {})).notes)


def test_trainings_that_both_studies_share_are_not_compared_with_themselves() -> None:
    twin = of(make_plan(FIRST.replace("study: additions", "study: twin")))
    pair = pair_studies(of(make_plan(FIRST)), twin)
    assert (pair.comparisons, len(pair.shared)) == ((), 4)
    page = pair_page(pair)
    assert page.notes[-1].startswith("The same trainings in both studies, so there is nothing to compare: ")
    assert page.answer is None


def test_repeats_of_another_split_are_not_compared() -> None:
    other = second_side(SECOND.replace("splits: published", "splits: per_seed"))
    page = page_of(of(make_plan(FIRST)), other)
    assert "Answer" not in sections_of(of(make_plan(FIRST)), other)
    assert page.notes[-1].startswith(
        "Not compared: supervision=full stop=off, supervision=full stop=on, "
        "supervision=few stop=off, supervision=few stop=on."
    )


def test_repeats_on_other_images_are_not_compared() -> None:
    plan = make_plan(SECOND)
    trials = tuple(trial.model_copy(update={"manifest": "other"}) for trial in plan.trials)
    elsewhere = plan.model_copy(update={"trials": trials})
    page = sections_of(of(make_plan(FIRST)), of(elsewhere))
    assert "Comparisons" not in page


def test_a_split_that_each_seed_draws_is_the_same_in_both_studies() -> None:
    drawn = [text.replace("splits: published", "splits: per_seed") for text in (FIRST, SECOND)]
    page = sections_of(of(make_plan(drawn[0])), second_side(drawn[1]))
    assert "on new data" in page["Comparisons"].title


def test_cells_that_only_one_has_are_named() -> None:
    other = second_side(SECOND.replace("few: {supervision: {mixed: 5}}", "some: {supervision: {mixed: 5}}")
                        .replace("from: few", "from: some"))  # fmt: skip
    section = sections_of(of(make_plan(FIRST)), other)["What"]
    assert section.notes == (
        "Only in additions: supervision=few stop=off, supervision=few stop=on.",
        "Only in longer: supervision=some stop=off, supervision=some stop=on.",
    )


def test_studies_of_one_cell_each_need_no_common_names() -> None:
    alone = "study: {}\ntrainable: segdec\ndata: {{reader: synthetic}}\nconfig: {{preset: {}}}\n"
    one, other = (make_plan(alone.format(name, name)) for name in ("ksdd", "dagm"))
    assert "config.lr" in {row[1] for row in rows_of(sections_of(of(one), of(other))["What"])}


OTHER_LEVELS = (
    SECOND.replace("full: {", "whole: {")
    .replace("few: {", "part: {")
    .replace("from: few, to: full", "from: part, to: whole")
)
OTHER_METRIC = SECOND.replace("primary: image_ap, report: [fp, pixel_iou]", "primary: image_auroc")


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (OTHER_LEVELS, r"cells of two studies are matched by their levels.* Give both the same factors"),
        (OTHER_METRIC, "image_ap, and longer reports image_auroc"),
        (FIRST, "found additions twice"),
    ],
    ids=["no common cell", "no common metric", "a study and itself"],
)
def test_studies_that_cannot_be_compared_are_refused(other: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        pair_studies(of(make_plan(FIRST)), second_side(other))


def test_trials_of_both_are_listed_under_their_study() -> None:
    rows = rows_of(page_of(of(make_plan(FIRST)), second_side()).trials)
    assert len(rows) == 64
    assert {row[0].partition(": ")[0] for row in rows} == {"additions", "longer"}


@pytest.mark.parametrize("form", ["md", "latex", "html", "csv"])
def test_every_format_names_both_studies(form: str) -> None:
    name = f"pair{FORMATS[form].suffix}"
    files = FORMATS[form].pair_files(pair_studies(of(make_plan(FIRST)), second_side()), name)
    text = files[name].decode()
    assert "additions" in text
    assert "longer" in text
    assert ("pair_files/studies.pdf" in files) == (form == "latex")


HUNT = (
    FIRST.partition("factors:")[0]
    + """\
search: {points: 3, objective: {max: validation.image_ap}}
space: {config.lr: {float: [0.01, 1.0], log: true}}
replicate: {best: 2, seeds: [10, 11, 12]}
repeats: {seeds: [0]}
metrics: {primary: image_ap}
"""
)


def hunt(name: str, *rates: float) -> StudyResults:
    """A search that drew these learning rates, the first two of which were trained again."""
    plan = make_plan(HUNT.replace("study: additions", f"study: {name}"))
    (cell,), segdec = plan.searched, find_trainable("segdec")
    points = [
        make_point(plan.study, segdec, cell, "cpu", index=i, source="tpe", values={"config.lr": rate})
        for i, rate in enumerate(rates)
    ]
    return of(plan.with_points(points).with_winners(points[:2], complete=True))


def test_points_of_searches_are_matched_by_what_was_drawn_and_not_by_their_numbers() -> None:
    pair = pair_studies(hunt("one", 0.1, 0.2, 0.3), hunt("two", 0.5, 0.1, 0.3))
    assert [match.name for match in pair.cells] == ["base #0 replicated, base #1 replicated"]
    page = pair_page(pair)
    assert page.count == "Two studies side by side: 1 variant that both have."
    assert page.sections[0].notes == (
        "Only in one: base #1 replicated.",
        "Only in two: base #0 replicated.",
    )


def test_searches_without_a_common_point_are_refused_with_a_way_to_compare_two_points() -> None:
    with pytest.raises(InputError, match=r"also by what was drawn; .*a study by `assay best`"):
        pair_studies(hunt("one", 0.1, 0.2), hunt("two", 0.3, 0.4))


NESTED = (
    HUNT.replace("splits: published", "splits: per_seed")
    .replace("{points: 3,", "{points: 3, nested: true,")
    .replace("best: 2", "best: 1")
)
PLAIN = f"""{NESTED.partition("search:")[0].replace("additions", "plain")}
repeats: {{seeds: [10, 11, 12]}}
metrics: {{primary: image_ap}}
"""


def nested(name: str, splits: str, rate: float = 0.1) -> StudyResults:
    """A search for each of these splits, whose winner was tested there on a fresh seed: 10, 11 or 12."""
    text = NESTED.replace("study: additions", f"study: {name}").replace("[0]", f"[{splits}]")
    plan, segdec = make_plan(text), find_trainable("segdec")
    points = [
        make_point(plan.study, segdec, part, "cpu", index=0, source="tpe", values={"config.lr": rate})
        for part in plan.searched
    ]
    return of(plan.with_points(points).with_winners(points, complete=True))


def test_a_winner_that_is_tested_on_the_split_of_its_search_is_compared_on_that_split_alone() -> None:
    one = nested("one", "0, 1, 2")
    same, *_ = pair_studies(one, nested("two", "0, 1, 2", rate=0.2)).comparisons
    assert same.n == 3
    for elsewhere in (nested("three", "3, 4, 5", rate=0.2), of(make_plan(PLAIN))):
        pair = pair_studies(one, elsewhere)
        assert (len(pair.cells), pair.compared) == (1, ())
