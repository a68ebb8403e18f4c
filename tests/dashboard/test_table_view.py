"""The table's page: its rows are the report's, chosen cells stay chosen, and what is left out is named."""

from __future__ import annotations

import json
import re
from decimal import ROUND_HALF_UP, Decimal
from urllib.parse import unquote

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import metric_summary
from assay.analysis.test_set_uncertainty import item_intervals
from assay.storage import Record, Store
from assay.study import Plan, parse_study, plan_study
from assay.study.planning.plan import CellResolutionLimit
from assay_dashboard.cells import ablation, cell_table
from assay_dashboard.charts import dot_plots
from assay_dashboard.study_view import view
from tests.analysis.made_studies import make_plan, make_record, make_records
from tests.analysis.test_at_chance import study_with
from tests.analysis.test_uncertainty_and_looks import with_predictions
from tests.cli.small_study import STUDY, finished
from tests.dashboard.conftest import Show, put, texts_of
from tests.report.test_defect_tables import with_defects
from trainables.contract import Grid
from trainables.evaluation.resolution_limit import measure_resolution_limit


def marked(app: AppTest) -> list[int]:
    """Rows that the table was told to mark in the last run."""
    state = app.dataframe[0].proto.selection_state
    return json.loads(state)["selection"]["rows"] if state else []


def test_further_metrics_have_a_spread_and_published_figures_stand_beside_their_metric(store: Store) -> None:
    published = "published: {source: A paper, rows: [{at: {balance: on}, values: {image_ap: 0.912}}]}\n"
    text = STUDY.replace("study: small", "study: known") + published
    put(store, plan_study(parse_study(text, "known.yaml"), None, "cpu"), {})
    table = cell_table(view(store, "known").results.without_predictions())
    titles = [table.titles[name].removesuffix(" ↑").removesuffix(" ↓") for name in table.frame]
    primary = ["AP", "±", "n", "best", "95 % interval", "published"]
    assert titles == ["balance", *primary, "FP", "±", "FN", "±"]
    assert table.frame.loc["balance", "published image_ap"] == 0.912
    assert table.frame.loc["all off", "spread fp"] == 0.0


def test_every_figure_that_the_notes_speak_of_is_a_column_of_numbers(store: Store, show: Show) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 1
    grid = measure_resolution_limit([("0.png", mask)], [mask], (64, 64), Grid(stride=8, window=17))
    assert grid is not None
    results = study_with(store, -3.0)  # one repeat ranks no better than chance
    limit = CellResolutionLimit(cells=tuple(cell.name for cell in results.plan.cells), limit=grid)
    put(store, results.plan.model_copy(update={"resolution_limits": (limit,)}), results.records)
    app = show("table", study="additions")
    assert not app.exception
    frame = app.dataframe[0].value
    assert frame["median image_ap"].between(0.5, 1).all()
    assert set(frame["best IoU possible pixel_iou"]) == {round(grid.grid_iou, 2)}
    texts = texts_of(app)
    assert "the median stands beside the mean" in texts
    assert "Best IoU possible" in texts
    assert "What these notes call bold is marked ● in the column best." in texts


@pytest.mark.parametrize(("false_alarms", "shown"), [((3, 3, 3, 4), "3.2"), ((3, 4, 4, 4), "3.8")])
def test_a_mean_midway_between_two_numbers_is_rounded_as_in_the_report(
    store: Store, false_alarms: tuple[int, ...], shown: str
) -> None:
    text = STUDY.replace("study: small", "study: midway").replace("seeds: [0, 1]", "seeds: [0, 1, 2, 3]")
    plan = plan_study(parse_study(text, "midway.yaml"), None, "cpu")
    scores = {seed: {"image_ap": 0.5, "fp": float(count)} for seed, count in enumerate(false_alarms)}
    put(store, plan, {one.id: make_record(one, lambda trial: scores[trial.seed]) for one in plan.trials})
    results = view(store, "midway").results
    table = cell_table(results)
    assert table.formats["mean fp"] == "%.1f"
    in_a_browser = Decimal(table.frame["mean fp"].iloc[0]).quantize(Decimal("0.1"), ROUND_HALF_UP)
    assert str(in_a_browser) == shown
    assert any(text.startswith(f"{shown} ±") for text in ablation(results).rows[0])


def test_marks_of_the_table_are_the_reports_and_refer_to_its_notes(store: Store) -> None:
    now = view(store, "small")
    assert list(cell_table(now.results.without_predictions()).frame["n"]) == ["2", "1 of 2 ¹"]
    (note,) = ablation(now.results.without_predictions()).notes
    assert note == "to come: 1 of 4 trials"


def test_a_record_that_cannot_be_read_is_named_unfolded(show: Show, store: Store, plan: Plan) -> None:
    path = f"trials/{plan.trials[3].id}/record.json"
    store.write_bytes(path, b"{")
    app = show("table")
    warnings = [part.proto.body for part in app.get("html") if 'class="warn"' in part.proto.body]
    assert [path in text for text in warnings] == [True]


def test_chosen_cells_stay_chosen_when_their_rows_move(show: Show) -> None:
    app = show("table", cells="all off")
    assert marked(app) == [0]
    app.toggle(key="best").set_value(True).run()
    assert list(app.dataframe[0].value.index) == ["balance", "all off"]
    assert marked(app) == [1]
    app.multiselect(key="cells").set_value(["all off", "balance"]).run()
    assert marked(app) == [0, 1]


@pytest.mark.parametrize(
    ("picked", "after_n"),
    [
        ({}, ["dots", "best", "interval", "mean fp", "spread fp", "mean fn", "spread fn"]),
        ({"columns": ["FN", "95 % interval", "../../etc"]}, ["dots", "interval", "mean fn", "spread fn"]),
    ],
)
def test_the_url_picks_what_stands_behind_the_primary_metric_and_n(
    show: Show, picked: dict[str, list[str]], after_n: list[str]
) -> None:
    first = ["level 0", "mean image_ap", "spread image_ap", "n"]
    assert list(show("table", items="false", **picked).dataframe[0].value) == [*first, *after_n]


@pytest.mark.parametrize(("letters", "named"), [(5, False), (60, True)])
def test_levels_of_long_names_have_a_width_by_which_streamlit_unpins_them(
    show: Show, store: Store, letters: int, named: bool
) -> None:
    """It sums up the widths that are named: else the levels fill the grid, and no number is ever seen."""
    factor = "n" * letters
    text = STUDY.replace("study: small", "study: long").replace("balance: {off", f"{factor}: {{off")
    text = text.replace("{factor: balance}", f"{{factor: {factor}}}")
    put(store, plan_study(parse_study(text, "long.yaml"), None, "cpu"), {})
    level = json.loads(show("table", study="long").dataframe[0].proto.columns)["level 0"]
    assert level["pinned"]
    assert ((level.get("width") or 0) > 6 * letters) is named


def test_what_is_not_known_is_a_dash(show: Show) -> None:
    assert {table.proto.placeholder for table in show("table", cells="balance").dataframe} == {"–"}


def test_dots_of_all_cells_share_an_axis_from_the_lowest_repeat_to_the_highest(store: Store) -> None:
    """Repeats of 0.8, 0.82 and 0.95: the first at the left end, 7 pixels in, the last at the right one."""
    dots = dot_plots(view(store, "small").results.without_predictions())
    assert dots.title == "axis 0.800 – 0.950"
    pictures = [unquote(dots.pictures[cell] or "") for cell in ("all off", "balance")]
    places = [re.findall(r"M(\d+\.\d) 7\.0v14", picture) for picture in pictures]
    assert places == [["7.0", "25.1"], ["143.0"]]


def test_the_axis_of_the_dots_holds_every_interval(store: Store) -> None:
    plan = make_plan()
    put(store, plan, make_records(plan))
    results = view(store, "additions").results
    dots = dot_plots(results)
    intervals = study_analysis(results).intervals("image_ap").values()
    low, high = (min(one.low for one in intervals), max(one.high for one in intervals))
    values = [value for summary in metric_summary(results, "image_ap") for value in summary.values.values()]
    assert low < min(values), "an interval of three repeats is wider than they are"
    assert dots.title == f"axis {low:.3f} – {max(high, *values):.3f}"
    lines = [re.search(r"M(\d+\.\d) 14\.0H", unquote(picture or "")) for picture in dots.pictures.values()]
    assert min(float(line[1]) for line in lines if line is not None) == 7.0


def test_dots_that_are_all_equal_stand_in_the_middle(store: Store, plan: Plan) -> None:
    for trial in plan.trials:
        finished(trial, store, image_ap=0.8)
    dots = dot_plots(view(store, "small").results.without_predictions())
    assert dots.title == "repeats, all 0.800"
    assert all('cx="75.0"' in unquote(picture or "") for picture in dots.pictures.values())


def test_a_picture_of_dots_fits_into_its_column(show: Show) -> None:
    """The table draws pictures as high as a row, 6 pixels less, and cuts what is wider than the column."""
    table = show("table").dataframe[0]
    column = json.loads(table.proto.columns)["dots"]["width"]
    size = re.search(r'width="(\d+)" height="(\d+)"', unquote(table.value["dots"].dropna().iloc[0]))
    assert size is not None
    assert int(size[1]) / int(size[2]) * (table.proto.row_height - 6) < column


def test_item_intervals_begin_as_suits_the_study_whatever_the_one_before_was(
    show: Show, store: Store
) -> None:
    seeds = ", ".join(map(str, range(160)))
    text = STUDY.replace("study: small", "study: many").replace("seeds: [0, 1]", f"seeds: [{seeds}]")
    put(store, plan_study(parse_study(text, "many.yaml"), None, "cpu"), {})
    app = show("table")
    assert app.toggle(key="items").value
    for study, on in {"many": False, "small": True}.items():
        app.session_state["study"] = study
        assert app.run().toggle(key="items").value is on
    app.toggle(key="items").set_value(False).run()
    assert not app.run().toggle(key="items").value, "of one study the reader's choice stays"


def test_item_intervals_of_the_url_are_the_readers_choice(show: Show) -> None:
    assert not show("table", items="false").toggle(key="items").value


def test_a_new_record_reads_no_predictions_but_its_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan()
    records = {one.id: with_predictions(store, one, 0) for one in make_records(plan).values()}
    *first, last = records.values()
    put(store, plan, {one.id: one for one in first})
    read: list[str] = []
    read_part = Store.read_part

    def noted(self: Store, record: Record, name: str) -> object:
        read.append(record.id)
        return read_part(self, record, name)

    monkeypatch.setattr(Store, "read_part", noted)
    assert item_intervals(view(store, "additions").results) is not None
    assert sorted(read) == sorted(one.id for one in first)
    store.write_record(last)
    found = item_intervals(view(store, "additions").results)
    assert found is not None
    assert read[len(first) :] == [last.id]


def test_defects_by_class_and_size_stand_below_the_table(show: Show, store: Store, plan: Plan) -> None:
    put(store, plan, with_defects(plan))
    assert "mean over 3 classes" in texts_of(show("table"))
