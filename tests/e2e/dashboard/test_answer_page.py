"""The first page of a study in a real browser: the answer on one screen, in the report's numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from assay.analysis.results.reading import read_results
from assay.report.headline import study_answer
from assay.storage import Store
from tests.analysis.label_studies import LINE, trained
from tests.analysis.made_studies import STUDY, make_plan
from tests.dashboard.conftest import put
from tests.dashboard.made_records import make_scene, make_study
from tests.e2e.dashboard.conftest import MAIN, Viewer, Window
from tests.e2e.dashboard.serving import serve
from tests.report.test_answer import results_of

ADDRESSES = "Is http://x.org/a_b or www.x.org right, me@x.org?"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`additions`, six cells with masks; past ones `labels`, with costs, and `switch`, with a small gain.

    The first of all, `linked`, asks a question with addresses and has no results.
    """
    store = Store(tmp_path_factory.mktemp("answer"))
    linked = STUDY.replace("study: additions", "study: linked")
    put(store, make_plan(linked.replace("question: Which addition pays?", f"question: {ADDRESSES}")), {})
    small = results_of(0.005, 0.0005)
    put(store, small.plan, small.records)
    put(store, *trained(LINE, lambda images, masks: 0.7 + 0.002 * masks))
    make_study(store, make_scene(9, (96, 144)), seeds=3, probes=4)
    return store


@pytest.fixture(scope="module")
def address(storage: Store) -> Iterator[str]:
    with serve(storage.uri) as served:
        yield served.url


@pytest.fixture
def viewer(kept_window: Window, address: str) -> Viewer:
    return Viewer(kept_window, address)


def test_addresses_in_a_question_are_text_and_no_links(viewer: Viewer) -> None:
    heading = viewer.open("/?study=linked").get_by_test_id("stHeading")
    viewer.sees(lambda: heading.inner_text().replace("\u2060", "").strip() == ADDRESSES)
    expect(heading.get_by_role("link")).to_have_count(0)


def test_the_answer_stands_on_one_screen_in_the_reports_words(viewer: Viewer, storage: Store) -> None:
    viewer.page.set_viewport_size({"width": 1280, "height": 720})
    page = viewer.open("/")
    expect(page.get_by_role("heading", name="Which of SegDecNet's three additions pays")).to_be_visible()
    expect(page.locator(".pair img")).to_have_count(2)
    expect(page.locator("[data-testid=stVegaLiteChart] :is(svg, canvas)").first).to_be_visible()
    answer = study_answer(read_results(storage, "additions"))
    assert answer is not None
    for text in (text for group in answer.groups for text in group.sentences):
        expect(page.locator(".verdicts")).to_contain_text(text)
    viewer.sees(lambda: page.evaluate(f"{MAIN}.scrollHeight") <= 720)


def test_only_the_tabs_of_which_the_study_has_something_are_offered(viewer: Viewer) -> None:
    page = viewer.open("/")
    names = ["Answer", "Studies", "Table", "Effects", "Masks", "Misses", "Trial", "Compare"]
    tabs = page.locator("[data-testid=stTopNavLink]")
    expect(tabs).to_have_text([re.compile(rf"{name}\s*$") for name in names])


def test_a_tab_that_has_the_keyboards_focus_has_a_ring(viewer: Viewer) -> None:
    page = viewer.open("/")
    tab = page.locator("[data-testid=stTopNavLink]").first
    tab.focus()
    page.keyboard.press("Tab")
    expect(page.locator("[data-testid=stTopNavLink]").nth(1)).to_have_css("outline", re.compile("solid 2px"))
    expect(tab).to_have_css("outline-style", "none")


@pytest.mark.parametrize("path", ["/", "/labels?study=labels"])
def test_nothing_hangs_over_the_side_of_a_telephone(viewer: Viewer, path: str) -> None:
    viewer.page.set_viewport_size({"width": 400, "height": 900})
    page = viewer.open(path)
    chart = page.locator("[data-testid=stVegaLiteChart] :is(svg, canvas)").first
    chart.wait_for()
    viewer.sees(lambda: chart.evaluate("chart => chart.getBoundingClientRect().right") <= 400)
    viewer.sees(lambda: page.evaluate(f"{MAIN}.scrollWidth") <= 400)


def test_a_small_gain_has_the_green_of_what_is_settled_in_the_legend(viewer: Viewer) -> None:
    mark = viewer.open("/effects?study=switch").locator(".marks > span")
    expect(mark).to_have_text(re.compile("shown, small: there is one, below 0.01"))
    expect(mark.locator("i")).to_have_css("color", "rgb(0, 113, 79)")
