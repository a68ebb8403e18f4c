"""What a reader sees while records come and the storage goes: pages of made-up records, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from playwright.sync_api import expect

from assay.analysis.results.reading import results_of_plan
from assay.report.formats import FORMATS
from assay.storage import Environment, Progress, Store
from assay.storage.lease import Lease, stop_requested
from assay.storage.plans import write_plan
from assay.study import Plan, Trial, parse_study, plan_study
from assay_dashboard.search_points import MOST_DRAWN
from tests.cli.small_search import DRAWN, SEARCH, draw
from tests.cli.small_study import STUDY, finished
from tests.dashboard.made_searches import make_large_search
from tests.e2e.dashboard.conftest import Reader
from tests.e2e.dashboard.serving import serve

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

TITLE, ROW = 17, 35  # of a table's canvas: the middle of its titles, the height of a row


class Shared(NamedTuple):
    """A storage with `small` and `hunt`, a search that lacks a point, and the address of its server."""

    storage: Path
    store: Store
    small: Plan
    hunt: Plan
    address: str


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    storage = tmp_path_factory.mktemp("live") / "storage"
    store = Store(storage)
    hunt = plan_study(parse_study(SEARCH, "hunt.yaml"), None, "cpu")
    write_plan(store, hunt)
    draw(store, hunt, DRAWN[:4])
    small = put_small(store)
    with serve(str(storage)) as served:
        yield Shared(storage, store, small, hunt, served.url)


def put_small(store: Store) -> Plan:
    """Two cells: `balance` lacks its second trial, and is the better one until that comes."""
    plan = plan_study(parse_study(STUDY, "small.yaml"), None, "cpu")
    write_plan(store, plan)
    for trial, image_ap in zip(plan.trials, (0.8, 0.95, 0.82), strict=False):
        finished(trial, store, image_ap=image_ap)
    return plan


@pytest.fixture
def reader(page: Page, shared: Shared) -> Reader:
    return Reader(page, shared.address)


@pytest.fixture
def first_reader(page: Page, tmp_path: Path) -> Iterator[Reader]:
    """Of an empty storage."""
    (tmp_path / "storage").mkdir()
    with serve(str(tmp_path / "storage")) as served:
        yield Reader(page, served.url)
        page.goto("about:blank")  # a page without its server complains


@pytest.mark.parametrize(("title", "form"), [("Markdown", "md"), ("LaTeX", "latex")])
def test_a_download_is_the_report(reader: Reader, shared: Shared, title: str, form: str) -> None:
    page = reader.open("/table?study=small")
    page.get_by_role("button", name="Report").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=title, exact=True).click()
    results = results_of_plan(shared.small, shared.store).without_predictions()
    assert download.value.path().read_bytes() == FORMATS[form].study_files(results, "")[""]


@pytest.fixture
def running(shared: Shared) -> Iterator[Trial]:
    """The trial that is not finished, in its first epoch of two."""
    store, trial = shared.store, shared.small.trials[3]
    with Lease(store, "small"):
        attempt = store.begin_attempt(trial.id, Environment())
        store.write_bytes(f"{attempt.prefix}/log.txt", b"12:00:00  epoch 1 of 2\n")
        store.write_progress(Progress.now(trial.id, 1, 2, {"loss": 0.5}, 30.0, attempt.name))
        yield trial
        store.end_progress(trial.id)


def test_a_running_trial_is_followed_without_a_reload_and_its_log_is_a_click_away(
    reader: Reader, shared: Shared, running: Trial
) -> None:
    page = reader.open("/?study=small")
    line = page.get_by_text(f"Runs now: {running.cell}")
    expect(line).to_contain_text("epoch 1 of 2 · loss 0.500")
    page.evaluate("window.same = true")
    attempt = shared.store.attempts(running.id)[-1].attempt
    shared.store.write_progress(Progress.now(running.id, 2, 2, {"loss": 0.25}, 30.0, attempt))
    expect(line).to_contain_text("epoch 2 of 2 · loss 0.250", timeout=15_000)
    assert page.evaluate("window.same"), "the page was not loaded again"
    page.get_by_role("link", name="Log").click()
    page.wait_for_url("**/runs?**")
    expect(page.get_by_text("12:00:00  epoch 1 of 2")).to_be_visible()


def test_a_study_is_stopped_and_let_go_on_by_buttons(reader: Reader, shared: Shared, running: Trial) -> None:
    page = reader.open("/?study=small")
    page.get_by_role("button", name="Stop study").click()
    expect(page.get_by_text("Asked to stop: the study ends within seconds.")).to_be_visible()
    assert stop_requested(shared.store, "study", "small")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("button", name="Stop study")).to_be_visible()
    assert not stop_requested(shared.store, "study", "small")


def test_pages_that_others_than_this_machine_see_have_no_buttons(
    page: Page, shared: Shared, running: Trial
) -> None:
    # 127.0.0.1, in a spelling that is not known for it: nobody else reaches the test's pages.
    with serve(str(shared.storage), "dashboard", "--host", "127.1") as served:
        Reader(page, served.url).open("/?study=small")
        expect(page.get_by_text("Runs now:")).to_be_visible()
        expect(page.get_by_role("button", name="Stop study")).to_have_count(0)
        page.goto("about:blank")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/", "Does the balance pay?"),
        ("/runs?runs=All+studies", "small"),
        ("/table?study=small", "Does the balance pay?"),
        ("/runs?runs=Run&study=small&cell=balance&repeat=seed+1", "This trial has no record yet"),
    ],
)
def test_a_storage_that_goes_away_is_named_on_the_open_page_which_comes_back_with_it(
    reader: Reader, shared: Shared, tmp_path: Path, path: str, shown: str
) -> None:
    page = reader.open(path)
    message = page.locator(".message", has_text=f"There is no folder {shared.storage}")
    shared.storage.rename(tmp_path / "away")
    message.first.wait_for()
    (tmp_path / "away").rename(shared.storage)
    expect(message).to_have_count(0)
    page.get_by_text(shown).first.wait_for()


def test_pages_notice_the_first_study_and_the_record_of_a_trial_by_themselves(
    first_reader: Reader, tmp_path: Path
) -> None:
    store = Store(tmp_path / "storage")
    page = first_reader.open("/table")
    expect(page.get_by_text("No study has been run into")).to_be_visible()
    trial = put_small(store).trials[3]
    expect(page.get_by_text("Does the balance pay?")).to_be_visible()

    store.begin_attempt(trial.id, Environment())
    page = first_reader.open("/runs?runs=Run&study=small&cell=balance&repeat=seed+1")
    expect(page.get_by_text("This trial has no record yet")).to_be_visible()
    finished(trial, store, image_ap=0.9123)
    expect(page.get_by_text("0.9123").first).to_be_visible()
    expect(page.get_by_text("This trial has no record yet")).to_have_count(0)


def test_a_click_on_a_title_sorts_the_table_and_the_marked_cell_keeps_its_mark(reader: Reader) -> None:
    page = reader.open("/table?study=small&cells=balance")
    table = page.locator("[data-testid=stDataFrame]").first
    expect(marked(table)).to_contain_text("0.95")  # `balance`
    for best in ("0.81", "0.95"):  # rising, then falling
        click(table, x=60, y=TITLE)
        expect(table.locator("[role=row]").nth(1)).to_contain_text(best)
    expect(marked(table)).to_contain_text("0.95")  # `balance`


def test_a_click_on_a_point_of_a_search_leads_to_its_trial(reader: Reader) -> None:
    page = reader.open("/runs?runs=Search&study=hunt")
    table = page.locator("[data-testid=stDataFrame]").first
    click(table, x=8, y=TITLE + ROW)
    link = page.get_by_role("link", name=re.compile("^Open "))
    expect(link).to_contain_text(marked(table).locator("[role=gridcell]").first.inner_text())
    link.click()
    page.wait_for_url("**/runs?**")
    expect(page.get_by_text("of training")).to_be_visible()
    reader.settled()


def test_names_of_axes_stay_apart_on_a_telephone_and_nothing_hangs_over(reader: Reader) -> None:
    reader.page.set_viewport_size({"width": 400, "height": 800})
    page = reader.open("/runs?runs=Search&study=hunt")
    page.locator(".parallel[data-ready]").wait_for()
    boxes = page.locator(".parallel .name").evaluate_all(
        "all => all.map(name => name.getBoundingClientRect())"
    )
    edges = [(box["left"], box["right"]) for box in boxes]
    assert all(right <= left for (_, right), (left, _) in pairwise(edges))
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 400


def test_paper_has_all_of_a_page_without_its_controls(reader: Reader) -> None:
    page = reader.open("/table?study=small")
    expect(page.locator("[data-testid=stHeader]")).to_be_visible()
    table = page.get_by_test_id("data-grid-canvas").first.evaluate("canvas => canvas.clientWidth")
    page.emulate_media(media="print")
    expect(page.locator("[data-testid=stHeader]")).to_be_hidden()
    expect(page.get_by_role("button", name="Report")).to_be_hidden()
    expect(page.locator("[data-testid=stMain]")).to_have_css("overflow", "visible")
    zoom = page.get_by_test_id("stMainBlockContainer").evaluate("main => getComputedStyle(main).zoom")
    assert 0 < table * float(zoom) <= 1047  # A4 without its margins: a canvas keeps its width


def test_on_paper_axes_stand_where_their_lines_are(reader: Reader) -> None:
    """A printer gives the page another width and does not wait until the lines are drawn anew."""
    page = reader.open("/runs?runs=Search&study=hunt")
    page.locator(".parallel[data-ready]").wait_for()
    before, after = page.locator(".parallel").evaluate(
        """box => {
            const places = () => [...box.querySelectorAll(".axis")].map(axis => {
                const [inner, outer] = [axis.getBoundingClientRect(), box.getBoundingClientRect()];
                return (inner.left + inner.width / 2 - outer.left) / outer.width;
            });
            const wide = places();
            box.style.width = "150%";
            return [wide, places()];
        }"""
    )
    assert after == pytest.approx(before, abs=0.002)


def click(table: Locator, *, x: int, y: int) -> None:
    """On a place of its canvas, in pixels from the corner, once its rows are there."""
    table.locator("[role=gridcell]").first.wait_for(state="attached")
    table.locator(".dvn-scroller").click(position={"x": x, "y": y})


def marked(table: Locator) -> Locator:
    return table.locator("[role=row][aria-selected=true]")


def test_back_takes_a_brush_away_and_forward_brings_it_again(reader: Reader) -> None:
    page = reader.open("/runs?runs=Search&study=hunt")
    axes = page.locator(".parallel[data-ready]")
    axes.wait_for()
    points = axes.get_attribute("data-chosen")
    assert points is not None
    axis = page.get_by_role("slider", name="lr", exact=True)
    axis.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("brush="))
    brushed = axes.get_attribute("data-chosen")
    for go, chosen, text in (
        (page.go_back, points, "the best tenth in full colour"),
        (page.go_forward, brushed, "inside the brushes"),
    ):
        go()
        page.get_by_text(f"{chosen} of {points} points").filter(has_text=text).wait_for()
        expect(axes).to_have_attribute("data-chosen", str(chosen))
        expect(axis).to_have_attribute("aria-valuenow", "0.5" if chosen == brushed else "0")
        page.wait_for_timeout(500)  # in which an address could be written
        assert ("brush=" in page.url) is (chosen == brushed)


def test_brushes_stay_when_points_come_and_when_the_page_is_loaded_again(
    reader: Reader, shared: Shared
) -> None:
    page = reader.open("/runs?runs=Search&study=hunt")
    page.locator(".parallel[data-ready]").wait_for()
    axis = page.get_by_role("slider", name="lr", exact=True)
    axis.focus()
    page.keyboard.press("Enter")
    page.get_by_text("2 of 4 points, inside the brushes").wait_for()
    expect(page).to_have_url(re.compile("brush=config.lr%3A0.5%3A1"))
    draw(shared.store, shared.hunt, [*DRAWN[:4], (0.2, "none", None)])
    page.get_by_text("3 of 5 points, inside the brushes").wait_for()
    page.reload()
    page.get_by_text("3 of 5 points, inside the brushes").wait_for()
    expect(page.locator(".parallel[data-ready]")).to_have_attribute("data-chosen", "3")


def test_list_and_charts_of_a_large_search_come_once_its_axes_are_drawn(
    reader: Reader, shared: Shared
) -> None:
    make_large_search(shared.store, "wide", MOST_DRAWN + 1)
    page = reader.open("/runs?runs=Search&study=wide")
    for _ in range(2):  # also when the reader comes back to it
        page.locator(".parallel[data-ready]").wait_for()
        expect(page.locator("[data-testid=stDataFrame] canvas").first).to_be_visible()
        expect(page.get_by_text(f"Charts hold the best {MOST_DRAWN // 2} of")).to_be_visible()
        page.get_by_test_id("stTopNav").get_by_role("link", name="Table").click()
        page.wait_for_url("**/table?**")
        page.get_by_test_id("stTopNav").get_by_role("link", name="Runs").click()
