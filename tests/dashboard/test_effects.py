"""The Effects page: every comparison can be reached, and every repeat has its name."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from assay.analysis.results import StudyResults
from assay.report.figures.effects_rows import MOST_ROWS, EffectRow, comparisons_plot
from assay.storage import Store
from assay.study import Plan, parse_study, plan_study
from assay_dashboard.plots import difference_plot
from tests.analysis.made_studies import make_plan, make_records
from tests.cli.small_study import finished
from tests.dashboard.conftest import Show
from tests.dashboard.made_records import large_study_text

ROW = re.compile(r"(lr: l0 → l\d) within (w_pos=l\d) is ")  # of the words for who cannot see the picture


@pytest.fixture
def many(store: Store) -> Plan:
    """`large`: ten levels compared with the first in ten cells each, 90 comparisons."""
    plan = plan_study(parse_study(large_study_text(factors=2, seeds=1), "large.yaml"), None, "cpu")
    store.write_table("studies/large/plan.parquet", plan.to_table())
    for trial in plan.trials:
        finished(trial, store)
    return plan


def drawn(app: AppTest) -> list[tuple[str, str]]:
    """Comparison and cells of every row that is drawn."""
    assert not app.exception
    return [row for chart in app.get("vega_lite_chart") for row in ROW.findall(chart.proto.alt)]


def test_every_comparison_is_on_one_of_the_pages(show: Show, many: Plan) -> None:
    pages = [drawn(show("effects", "large", what="Comparisons", rows=str(number))) for number in (1, 2, 3)]
    assert [len(page) for page in pages] == [MOST_ROWS, MOST_ROWS, 90 - 2 * MOST_ROWS]
    asked = sum(len(one.pairs) for one in many.comparisons)
    assert len({row for page in pages for row in page}) == asked == 90


def test_comparisons_are_filtered_by_level_and_by_cells(show: Show, many: Plan) -> None:
    of_level = drawn(show("effects", "large", what="Comparisons", only="lr: l0 → l7"))
    assert of_level == [("lr: l0 → l7", f"w_pos=l{k}") for k in range(10)]
    assert drawn(show("effects", "large", what="Comparisons", only="lr: l0 → l7", within="w_pos=l4")) == [
        of_level[4]
    ]
    nothing = drawn(show("effects", "large", what="Comparisons", only="../../etc", within="<b>", rows="999"))
    assert len(nothing) == MOST_ROWS, "what is no choice is ignored"


def test_the_numbers_of_the_first_page_are_on_the_scale_of_all(show: Show, many: Plan, store: Store) -> None:
    finished(next(trial for trial in many.trials if trial.cell == "lr=l9 w_pos=l9"), store, image_ap=0.1)
    (first,) = show("effects", "large", what="Comparisons").get("vega_lite_chart")
    low = min(layer["encoding"]["x"]["scale"]["domain"][0] for layer in json.loads(first.proto.spec)["layer"])
    assert low < -0.8, "l9 in l9 is on the last page"


def test_a_repeat_is_named_and_the_smallest_p_stands_in_its_row() -> None:
    plan = make_plan()
    plot = comparisons_plot(StudyResults(plan, make_records(plan)))
    assert plot is not None
    first = next(row for row in plot.rows if row.result is not None)
    assert first.result is not None
    row = EffectRow(first.name, first.within, replace(first.result, p_min=0.03125))
    chart = difference_plot([row], axis="", limits=plot.limits, resolve=None, theme="light").to_dict()
    rows = [line for lines in chart["datasets"].values() for line in lines]
    assert [line["repeat"] for line in rows if "repeat" in line] == ["seed 0", "seed 1", "seed 2"]
    assert [line["support"] for line in rows if "support" in line] == ["n = 3, better in 3, smallest p .031"]
