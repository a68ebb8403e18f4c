"""Each page in a real browser: its main action is done, and its numbers are those of the records."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import expect

from assay.analysis.names import plan_names
from assay.analysis.results.results import StudyResults
from assay.analysis.results.search_results import SearchResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import metric_summary
from assay.report.rows import cell_table, to_csv
from assay.statistics.wording import sentence
from assay.storage.search_points import best_points
from tests.e2e.dashboard.conftest import HOSTILE, MAIN, Reader, Results
from trainables.evaluation.metrics import METRICS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.ray


def grid(page: Page, number: int = 0) -> list[str]:
    """Texts of the cells of a table that is drawn on a canvas, those a screen reader finds by now."""
    cells = page.locator("[data-testid=stDataFrame]").nth(number).locator("[role=gridcell]")
    return cells.all_text_contents()


def numbers(page: Page, number: int = 0) -> set[float]:
    """The numbers among them, unrounded."""
    return {float(cell) for cell in grid(page, number) if re.fullmatch(r"\d+(\.\d+)?(e-?\d+)?", cell)}


def test_studies_show_progress_and_the_best_cell(reader: Reader, results: Results) -> None:
    page = reader.open("/runs?runs=All+studies")
    row = page.locator(".st-key-study-small")
    summaries = metric_summary(StudyResults(results.small.plan, results.small.records()), "image_ap")
    best = max(summaries, key=lambda summary: summary.mean or 0.0)
    expect(row).to_contain_text("10 of 10 finished")
    expect(row).to_contain_text(f"AP {best.mean:.3f}")
    expect(row).to_contain_text(f"best variant {plan_names(results.small.plan).variant(best.cell.name)}")
    expect(page.locator(".st-key-study-growing")).to_contain_text("7 of 8 finished · 1 planned")


def test_a_study_leads_to_its_answer_and_the_link_can_be_shared(reader: Reader) -> None:
    page = reader.open("/runs?runs=All+studies&study=staged")
    page.locator(".st-key-study-small a").click()
    expect(page).to_have_url(re.compile(r"/\?study=small$"))
    expect(page.get_by_text("all 10 runs finished").first).to_be_visible()
    page.get_by_role("link", name="Table").click()
    expect(page).to_have_url(re.compile(r"/table\?study=small$"))
    expect(page.get_by_text("Runs of").first).to_be_visible()


def test_the_tables_numbers_and_downloads_are_those_of_the_report(
    reader: Reader, results: Results, tmp_path: Path
) -> None:
    page = reader.open("/table?study=small")
    small = StudyResults(
        results.small.plan, results.small.records(), read_part=results.store.read_part, looks=(2,)
    )
    means = {summary.mean for summary in metric_summary(small, "image_ap")}
    reader.sees(lambda: means <= numbers(page))
    page.get_by_role("button", name="Report").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    download.value.save_as(tmp_path / "cells.csv")
    assert (tmp_path / "cells.csv").read_text() == to_csv(cell_table(small))


def test_cells_of_the_table_lead_to_their_trials(reader: Reader, results: Results) -> None:
    cell = results.small.plan.cells[0].name
    page = reader.open(f"/table?study=small&cells={quote(cell)}")
    trials = [trial for trial in results.small.plan.trials if trial.cell == cell]
    reader.sees(lambda: {trial.id for trial in trials} <= set(grid(page, 1)))
    judged = [results.small.records()[trial.id].result for trial in trials]
    written = METRICS["image_ap"].text  # the report's digits
    scores = {float(written(result.metrics["image_ap"])) for result in judged if result is not None}
    reader.sees(lambda: scores <= numbers(page, 1))
    assert scores, "no trial of the cell has a score"


def test_a_comparison_is_said_in_the_words_of_the_report(reader: Reader, results: Results) -> None:
    page = reader.open("/table?table=Effects&study=small")
    small = StudyResults(
        results.small.plan, results.small.records(), read_part=results.store.read_part, looks=(2,)
    )
    one = study_analysis(small).comparisons[0]
    page.get_by_label("Look closer at").click()
    page.keyboard.type(plan_names(small.plan).change(one))
    page.keyboard.press("Enter")
    said = sentence(one)
    page.get_by_text(said).wait_for()
    expect(page).to_have_url(re.compile("comparison="))
    expect(page.locator(".comparisons").first).to_be_visible()


def test_a_brush_on_a_parameter_filters_the_points(reader: Reader, results: Results) -> None:
    page = reader.open("/runs?runs=Search&study=toy_search")
    page.locator(".parallel[data-ready]").wait_for()
    axis = page.get_by_role("slider", name="x", exact=True)
    axis.focus()
    page.keyboard.press("Enter")  # the upper half: x ≥ 0.5
    plan = results.search.grown
    points = SearchResults(plan, results.search.records()).evaluated_points[plan.searched[0].cell.name]
    wanted = [one for one in points if float(one.point.values["config.x"]) >= 0.5]
    assert 0 < len(wanted) < len(points)
    counted = page.get_by_text(f"{len(wanted)} of {len(points)} points, inside the brushes")
    expect(counted.first).to_be_visible()
    best = best_points(plan, wanted)[0]
    reader.sees(lambda: best.point.name in grid(page) and round(best.value, 4) in numbers(page))


def test_an_axis_says_where_its_brush_begins(reader: Reader) -> None:
    page = reader.open("/runs?runs=Search&study=toy_search")
    axis = page.get_by_role("slider", name="y", exact=True)
    expect(axis).to_have_attribute("aria-valuenow", "0")
    axis.focus()
    page.keyboard.press("Enter")
    expect(axis).to_have_attribute("aria-valuenow", "0.5")
    expect(axis).to_have_attribute("aria-valuemin", "0")
    expect(axis).to_have_attribute("aria-valuemax", "1")


def test_costs_of_labels_follow_the_slider(reader: Reader) -> None:
    page = reader.open("/labels?study=labels&mask-seconds=36")
    page.get_by_role("heading", name="What labels buy").wait_for()
    page.get_by_text("1 s per image label and 36 s per mask").wait_for()
    page.get_by_role("slider", name="Seconds per mask").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("1 s per image label and 37 s per mask").wait_for()
    expect(page).to_have_url(re.compile("mask-seconds=37"))


def test_a_trial_shows_its_record_and_its_log(reader: Reader, results: Results) -> None:
    trial = results.small.plan.trials[1]
    record = results.small.records()[trial.id]
    assert record.result is not None
    page = reader.open(f"/runs?runs=Run&study=small&cell={quote(trial.cell)}&repeat=seed+{trial.seed}")
    page.get_by_text(f"{record.result.metrics['image_ap']:.4f}").first.wait_for()
    page.get_by_role("radio", name="Scores").click()
    page.get_by_text(f"Scores of {record.result.n_test} test images").wait_for()
    predictions = results.store.read_part(record, "predictions.parquet")
    assert predictions is not None
    label, decision = (predictions[name].to_numpy() for name in ("label", "decision"))
    counts = [int(np.sum((label == i) & (decision == j))) for i in (False, True) for j in (False, True)]
    reader.sees(lambda: [int(cell) for cell in grid(page) if cell.isdigit()] == counts)
    page.get_by_role("radio", name="Log").click()
    page.get_by_text("End of its log").wait_for()
    expect(page).to_have_url(re.compile("part=Log"))


def test_another_study_on_the_trial_page_shows_a_trial_of_that_study(reader: Reader) -> None:
    page = reader.open("/runs?runs=Run&study=small&cell=balance&repeat=seed+1")
    page.get_by_label("Study").click()
    page.get_by_role("option", name="staged", exact=True).click()
    expect(page).to_have_url(re.compile(r"study=staged"))
    reader.settled()  # the fields of the study before stand beside the new ones until the page has run
    expect(page.get_by_label("Variant")).to_have_value("no last")
    expect(page.get_by_text("of training")).to_be_visible()


def go_back_to(reader: Reader, path: str) -> None:
    """Press Back until the page is another: Streamlit may enter it twice, first without what it shows."""
    for _ in range(2):
        reader.settled()
        reader.page.go_back()
        if f"/{path}" in reader.page.url:
            return
    raise AssertionError(reader.page.url)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("images", ".grid[data-ready]"),
        ("images?images=Misses+and+false+alarms", "[data-testid=stDataFrame]"),
    ],
)
def test_back_leads_to_the_cells_that_a_page_opened_with(reader: Reader, path: str, shown: str) -> None:
    page = reader.open(f"/{path}{'&' if '?' in path else '?'}study=small")
    page.locator(shown).first.wait_for()
    cells = page.locator("[data-testid=stMultiSelect]").first.inner_text()
    page.get_by_role("link", name="Table").click()
    expect(page.get_by_text("Runs of").first).to_be_visible()
    go_back_to(reader, path)
    page.locator(shown).first.wait_for()
    expect(page.locator("[data-testid=stMultiSelect]").first).to_have_text(cells, use_inner_text=True)


def test_back_leads_to_the_trial_that_the_page_opened_with(reader: Reader) -> None:
    page = reader.open("/runs?runs=Run&study=small")
    cell = page.get_by_label("Variant").input_value()
    page.get_by_role("link", name="Table").click()
    expect(page.get_by_text("Runs of").first).to_be_visible()
    go_back_to(reader, "runs")
    expect(page.get_by_label("Variant")).to_have_value(cell)
    expect(page.get_by_text("of training")).to_be_visible()


def test_back_leads_on_from_a_page_that_was_entered_twice(reader: Reader) -> None:
    reader.open("/runs?runs=Run&study=small")
    page = reader.open("/table")
    expect(page).to_have_url(re.compile("study="))  # an entry of its own
    page.go_back()
    reader.settled()
    page.wait_for_timeout(500)  # in which an address could be written
    assert "study=" not in page.url
    page.go_back()
    expect(page).to_have_url(re.compile(r"/runs\?"))


def test_two_studies_stand_side_by_side(reader: Reader) -> None:
    page = reader.open("/runs?runs=Two+studies&study=staged&other=staged_longer")
    page.get_by_role("heading", name="What differs").wait_for()
    main = page.locator("[data-testid=stMain]")
    expect(main).to_contain_text("config.epochs")
    expect(main).to_contain_text("Two studies side by side: 4 variants that both have.")


def test_a_new_record_appears_by_itself_and_the_reader_keeps_his_place(
    reader: Reader, results: Results
) -> None:
    page = reader.open("/table?study=growing&cells=sharpen%3Don%20last%3Dsome")
    page.set_viewport_size({"width": 1500, "height": 500})
    page.get_by_text("7 finished, 1 missing").wait_for()
    reader.sees(lambda: grid(page, 1) != [])
    page.evaluate(f"{MAIN}.scrollTo(0, 120)")
    place = page.evaluate(f"{MAIN}.scrollTop")
    results.growing.train([results.missing])
    page.get_by_text("8 trials of 4 variants: 8 finished.").wait_for()
    reader.sees(lambda: results.missing.id in grid(page, 1))
    reader.settled()
    assert page.evaluate(f"{MAIN}.scrollTop") == place > 0
    assert "cells=" in page.url


def test_texts_of_a_study_are_shown_as_they_are(reader: Reader) -> None:
    page = reader.open("/runs?runs=All+studies")
    expect(page.locator(".st-key-study-hostile").get_by_text(HOSTILE, exact=True)).to_be_visible()
    page = reader.open("/table?study=hostile")
    expect(page.get_by_text(HOSTILE, exact=True)).to_be_visible()


@pytest.mark.parametrize("asked", ["<script>alert(1)</script>", "%00%ff"])
def test_a_study_that_there_is_not_opens_nothing(reader: Reader, asked: str) -> None:
    page = reader.open(f"/table?study={asked if asked.startswith('%') else quote(asked)}")
    expect(page.get_by_text("Choose a study above.")).to_be_visible()
    expect(page.locator("[data-testid=stDataFrame], [data-testid=stVegaLiteChart]")).to_have_count(0)


def test_other_values_that_are_no_options_are_ignored(reader: Reader) -> None:
    page = reader.open("/runs?runs=Run&study=small&cell=../../x&repeat=seed+99&part=%3Cb%3E")
    expect(page.get_by_text("of training")).to_be_visible()
    expect(page).not_to_have_url(re.compile("x&|99|3Cb"))
    page = reader.open("/table?study=small&cells=..%2F..&best=perhaps")
    expect(page.get_by_text("10 trials of 5 variants: 10 finished.")).to_be_visible()
    expect(page).not_to_have_url(re.compile("cells="))
