"""The Effects page: every comparison can be reached, and every repeat has its name."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from assay.analysis.results.reading import read_results
from assay.analysis.results.results import StudyResults
from assay.analysis.summary import write_summary
from assay.report.page.html import html_section
from assay.report.pages import compared_sections
from assay.storage import Store
from assay.storage.conditions import ConditionResult, write_condition
from assay.storage.plans import write_plan
from assay.study import Plan, parse_study, plan_study
from assay_dashboard.comparison_rows import MOST_ROWS
from assay_dashboard.plots import curve_plot, interval_plot
from tests.analysis.made_studies import STUDY, make_plan, make_records, score
from tests.analysis.test_uncertainty_and_looks import with_predictions
from tests.cli.small_study import finished
from tests.dashboard.conftest import Show, put, texts_of
from tests.dashboard.made_records import large_study_text

ROW = re.compile(r'<div class="change"><b>Lr (l\d) instead of l0 with w pos (l\d)</b>')


@pytest.fixture
def many(store: Store) -> Plan:
    """`large`: ten levels compared with the first in ten cells each, 90 comparisons."""
    plan = plan_study(parse_study(large_study_text(factors=2, seeds=1), "large.yaml"), None, "cpu")
    write_plan(store, plan)
    for trial in plan.trials:
        finished(trial, store)
    return plan


@pytest.fixture
def predicted(store: Store) -> StudyResults:
    """`additions`, whose trials have kept their predictions; some of its repeats are all equal."""
    plan = make_plan()
    put(store, plan, {one.id: with_predictions(store, one, 0) for one in make_records(plan).values()})
    return read_results(store, "additions")


def drawn(app: AppTest) -> list[tuple[str, str]]:
    """The level that is compared, and the one of the cells, of every row that is drawn."""
    assert not app.exception
    return ROW.findall(texts_of(app))


def test_every_comparison_is_on_one_of_the_pages(show: Show, many: Plan) -> None:
    numbers = range(1, 90 // MOST_ROWS + 2)
    pages = [drawn(show("effects", "large", what="Comparisons", rows=str(number))) for number in numbers]
    assert [len(page) for page in pages] == [MOST_ROWS] * 11 + [90 - 11 * MOST_ROWS]
    asked = sum(len(one.pairs) for one in many.comparisons)
    assert len({row for page in pages for row in page}) == asked == 90


def test_comparisons_are_filtered_by_level_and_by_cells(show: Show, many: Plan) -> None:
    of_level = drawn(show("effects", "large", what="Comparisons", only="lr: l0 → l7"))
    assert {comparison for comparison, _ in of_level} == {"l7"}
    only = drawn(show("effects", "large", what="Comparisons", only="lr: l0 → l7", within="w_pos=l4"))
    assert only == [("l7", "l4")]
    nothing = drawn(show("effects", "large", what="Comparisons", only="../../etc", within="<b>", rows="999"))
    assert len(nothing) == MOST_ROWS, "what is no choice is ignored"


def test_the_strongest_comparison_comes_first_and_all_pages_have_its_axis(
    show: Show, many: Plan, store: Store
) -> None:
    finished(next(trial for trial in many.trials if trial.cell == "lr=l9 w_pos=l9"), store, image_ap=0.1)
    first, last = (show("effects", "large", what="Comparisons", rows=number) for number in ("1", "12"))
    assert drawn(first)[0] == ("l9", "l9")
    axes = [re.findall(r'<span style="left:[^"]*">([^<]*)</span>', texts_of(app)) for app in (first, last)]
    assert axes[0] == axes[1]
    assert "−0.8" in axes[0]


def test_what_is_identical_is_not_said_to_be_open(show: Show, predicted: StudyResults) -> None:
    assert re.search(
        r'row settled"><span class="verdict"><b>No difference', texts_of(show("effects", "additions"))
    )


def test_unfolded_numbers_are_those_of_the_report_with_its_item_intervals(
    show: Show, predicted: StudyResults
) -> None:
    text = texts_of(show("effects", "additions", numbers="true"))
    sections = compared_sections(predicted)
    assert [part.title for part in sections if html_section(part) not in text] == []
    assert "over test images" in text


def test_of_many_trials_no_predictions_are_read_and_the_page_says_what_that_leaves_out(
    show: Show, predicted: StudyResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = len(predicted.reported.trials) - 1
    monkeypatch.setattr("assay_dashboard.parts.effects.MOST_TRIALS_AT_ONCE", few)
    text = texts_of(show("effects", "additions", numbers="true"))
    assert f"Left out in a study of more than {few} trials: intervals over test images" in text
    assert "item interval" not in text


CELL = "map=layer_cam fgbp=filtered region=slic rounds=none crf="


@pytest.mark.parametrize("middle", ["", "some=further levels=of a=very long=name " * 9, f"{'n' * 45} " * 3])
def test_in_any_window_names_that_differ_at_their_end_differ(middle: str) -> None:
    names = [f"{middle}{CELL}{level}" for level in ("off", "on")]
    means = pd.DataFrame({"cell": names, "group": "", "mean": 0.5, "low": 0.4, "high": 0.6, "n": 3})
    repeats = pd.DataFrame({"cell": names, "group": "", "repeat": "seed 0", "value": 0.5})
    chart = interval_plot(means, repeats, axis="AP", group=None, theme="light").to_dict()
    rows = sorted({line["row"] for lines in chart["datasets"].values() for line in lines})
    for row, name, end in zip(rows, names, ("crf=off", "crf=on"), strict=True):
        whole, wide, *short = row.split("\u001f")
        assert whole == name
        # As many letters as 320 pixels hold, and as 130 do.
        for lines, most, letters in ((wide.split("\n"), 4, 48), (short, 5, 27)):
            assert lines[-1].endswith(end)
            assert len(lines) <= most
            assert max(map(len, lines)) <= letters
            assert middle or " ".join(lines) == name
    assert chart["height"]["step"] >= max(11 * len(short), 14 * len(wide.split("\n")))


@pytest.mark.parametrize(
    ("value", "domain"), [(0.576318, [0.526, 0.626]), (1.0, [0.95, 1.0]), (3.0, [2.0, 4.0])]
)
def test_an_axis_of_equal_values_has_room_around_them(value: float, domain: list[float]) -> None:
    means = pd.DataFrame({"cell": ["a"], "group": "", "mean": value, "low": None, "high": None, "n": 2})
    repeats = pd.DataFrame({"cell": ["a", "a"], "group": "", "repeat": ["seed 0", "seed 1"], "value": value})
    chart = interval_plot(means, repeats, axis="AP", group=None, theme="light").to_dict()
    assert chart["layer"][0]["encoding"]["x"]["scale"]["domain"] == pytest.approx(domain, abs=1e-3)
    curve = pd.DataFrame({"epoch": [1, 2], "what": "AP", "value": value})
    drawn = curve_plot(curve, unit="0–1", theme="light").to_dict()
    assert drawn["encoding"]["y"]["scale"]["domain"] == pytest.approx(domain, abs=1e-3)


def test_stored_models_that_are_asked_under_a_condition_fill_its_table(
    show: Show, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing trains for it, so no record is new when their results are there."""
    monkeypatch.setattr("assay.analysis.results.followed._FRESH", 0.0)
    plan = make_plan(STUDY.replace("[0, 1, 2]", "[0, 1, 2, 3, 4, 5]") + "test_under: {light: [0.5]}\n")
    put(store, plan, make_records(plan))
    assert "Under other conditions" not in texts_of(show("effects", "additions"))

    (darker,) = plan.study.conditions
    for trial in plan.trials:
        result = ConditionResult(
            condition=darker,
            weights_hash=trial.id,
            image_threshold=0.4,
            pixel_threshold=0.5,
            metrics=score(trial),
            n_test=60,
        )
        write_condition(store, trial.id, result)
    write_summary(read_results(store, "additions"), store)
    table = texts_of(show("effects", "additions")).partition("Under other conditions")[2]
    assert darker.name in table
    assert "holds" in table
