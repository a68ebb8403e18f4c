"""`assay demo` in a real browser: from its address to the answer, and to where the study fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from assay_dashboard.layout import INK
from tests.e2e.dashboard.conftest import MAIN, Reader, Viewer, Window
from tests.e2e.dashboard.serving import serve

if TYPE_CHECKING:
    from playwright.sync_api import Page, WebSocketRoute

# Looks at each frame: how many parts wait to be drawn anew, and how opaque is the faintest of the page?
_WATCH = """() => {
  window.seen = {stale: 0, least: 1};
  const look = () => {
    const parts = [...document.querySelectorAll('[data-testid=stMain] [data-testid=stElementContainer]')];
    window.seen.stale += parts.filter(part => part.dataset.stale === 'true').length;
    window.seen.least = Math.min(window.seen.least, ...parts.map(part => +getComputedStyle(part).opacity));
    requestAnimationFrame(look);
  };
  look();
}"""
_WHOLE = "text => text.scrollWidth <= text.clientWidth"  # nothing of it is cut off


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serve(None, "demo") as served:
        yield served.url


@pytest.fixture
def viewer(kept_window: Window, address: str) -> Viewer:
    return Viewer(kept_window, address)


@pytest.fixture
def reader(page: Page, address: str) -> Iterator[Reader]:
    page.set_viewport_size({"width": 1280, "height": 720})
    yield Reader(page, address)
    page.goto("about:blank")


def test_the_answer_is_the_first_thing_seen_and_where_it_fails_is_a_click_away(reader: Reader) -> None:
    """The question "which part pays, and where does it fail?", in less than three clicks."""
    page = reader.open("/")
    expect(page.locator(".verdicts")).to_contain_text("masks: none → five, stop=on distance=on: +0.300")
    expect(page.locator(".verdicts")).to_contain_text("Opendistance: off → on")
    page.get_by_test_id("stTopNav").get_by_role("link", name="Masks").click()
    page.locator(".grid[data-ready]").wait_for()
    head = page.locator(".column").first
    expect(head).to_contain_text("IoU 0.007 · test set 0.002")
    expect(page.locator(".corner")).to_contain_text("12 probe images:")
    for row in range(3):  # three rows of pictures, whole, below the cells and one row of choices
        expect(page.locator(".frame").nth(5 * row)).to_be_in_viewport(ratio=1)
    choices = page.locator(".st-key-mask-choices :is([data-testid=stSelectbox], [data-testid=stMultiSelect])")
    expect(choices).to_have_count(5)
    bottom = "all => new Set(all.map(box => Math.round(box.getBoundingClientRect().bottom))).size"
    reader.sees(lambda: choices.evaluate_all(bottom) == 1)
    for letter in "AB":  # their cells differ in the last factor, which is not cut off
        chosen = page.get_by_label(letter, exact=True)
        reader.sees(lambda chosen=chosen: chosen.evaluate(_WHOLE))


@pytest.mark.parametrize("path", ["/trial", "/masks"])
def test_paper_has_no_control_of_any_page(viewer: Viewer, path: str) -> None:
    page = viewer.open(path)
    controls = page.get_by_test_id("stMain").locator(":is(button:not(.frame), input, select, a):visible")
    expect(controls.nth(20)).to_be_attached()
    page.emulate_media(media="print")
    expect(controls).to_have_count(0)


def test_heads_of_masks_say_which_cells_they_are(viewer: Viewer) -> None:
    page = viewer.open("/masks")
    page.locator(".grid[data-ready]").wait_for()
    names = page.locator(".column .name")
    for width in (1100, 400):
        page.set_viewport_size({"width": width, "height": 800})
        expect(names).to_have_count(5)
        viewer.sees(lambda: names.evaluate_all(f"names => names.every({_WHOLE})"))


@pytest.mark.parametrize("path", ["masks", "studies", "table", "labels", "trial", ""])
def test_no_page_hangs_over_its_window(viewer: Viewer, path: str) -> None:
    page = viewer.open(f"/{path}")
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 800})
        viewer.sees(lambda width=width: page.evaluate(f"{MAIN}.scrollWidth") <= width)


def test_the_table_of_means_is_seen_whole_on_the_first_page(viewer: Viewer) -> None:
    """Beside the verdicts where it fits there, else below them."""
    table = viewer.open("/").locator(".st-key-answer-table .report")
    for width in (1280, 1000, 720):
        viewer.page.set_viewport_size({"width": width, "height": 900})
        viewer.sees(lambda: table.evaluate(_WHOLE))


def test_a_verdict_on_long_levels_stays_in_a_telephones_window(viewer: Viewer) -> None:
    viewer.page.set_viewport_size({"width": 390, "height": 844})
    page = viewer.open("/")
    page.locator(".verdicts > :nth-child(2)").evaluate("text => { text.textContent = 'm'.repeat(60) }")
    assert page.evaluate(f"{MAIN}.scrollWidth") <= 390


def test_the_names_of_all_chosen_cells_are_seen_whole_and_nothing_hangs_over(viewer: Viewer) -> None:
    page = viewer.open("/misses")
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 900})
        chips = page.locator(".st-key-cells [data-tag]")
        expect(chips).to_have_count(5)
        names = page.locator(".st-key-cells [data-tag] > span")
        viewer.sees(lambda names=names: names.evaluate_all(f"all => all.every({_WHOLE})"))
        for chip in chips.all():
            expect(chip).to_be_in_viewport(ratio=0.99)
        viewer.sees(lambda width=width: page.evaluate(f"{MAIN}.scrollWidth") <= width)


def test_shares_of_wrong_repeats_are_whole_percent(viewer: Viewer) -> None:
    page = viewer.open("/misses")
    cells = page.locator("[data-testid=stDataFrame] [role=gridcell]")
    viewer.sees(lambda: {"67", "100"} <= set(cells.all_text_contents()))


def test_the_effects_page_says_in_words_what_its_marks_say_and_nothing_hangs_over(viewer: Viewer) -> None:
    """The gain by `stop` is shown, and what `distance` does is open."""
    page = viewer.open("/effects")
    marks = page.locator(".marks > span")
    expect(marks).to_have_text([re.compile("shown: there is a difference"), re.compile("open: not known")])
    colour = "mark => getComputedStyle(mark.querySelector('i')).color"
    assert len({mark.evaluate(colour) for mark in marks.all()}) == 2
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 800})
        viewer.sees(lambda width=width: page.evaluate(f"{MAIN}.scrollWidth") <= width)


def test_charts_are_drawn_anew_when_the_system_turns_dark(viewer: Viewer) -> None:
    page = viewer.open("/effects")
    text = page.locator("[data-testid=stVegaLiteChart] svg text").first
    expect(text).to_have_attribute("fill", INK["light"])
    page.emulate_media(color_scheme="dark")
    expect(text).to_have_attribute("fill", INK["dark"])


def test_the_trial_page_opens_on_the_best_cell_and_a_link_on_the_chosen_trial(reader: Reader) -> None:
    page = reader.open("/trial")
    expect(page.get_by_label("Cell")).to_have_value("masks=all stop=on distance=off")
    expect(page.locator("[data-testid=stVegaLiteChart] :is(svg, canvas)").first).to_be_visible()
    page.get_by_label("Cell").click()
    page.get_by_role("option").first.click()
    reader.sees(lambda: "cell=masks" in page.url)
    chosen = page.get_by_label("Cell").input_value()
    assert chosen != "masks=all stop=on distance=off"
    page.goto(page.url)
    expect(page.get_by_label("Cell")).to_have_value(chosen)


def test_no_chart_of_scores_cuts_a_label(viewer: Viewer) -> None:
    viewer.page.set_viewport_size({"width": 1400, "height": 900})
    charts = viewer.open("/trial?part=Scores").get_by_test_id("stVegaLiteChart")
    expect(charts.locator("svg")).to_have_count(3)
    beyond = """chart => Math.max(...[...chart.querySelectorAll('svg text')].map(
        text => text.getBoundingClientRect().right)) - chart.getBoundingClientRect().right"""
    assert max(chart.evaluate(beyond) for chart in charts.all()) <= 0


def test_picked_columns_are_in_the_url_and_a_link_shows_them(reader: Reader) -> None:
    page = reader.open("/table")
    picks = page.get_by_test_id("stButtonGroup").get_by_role("button")
    heads = page.locator("[data-testid=stDataFrame]").first.locator("[role=columnheader]")
    reader.sees(lambda: "AUROC ↑" in heads.all_text_contents())
    picks.get_by_text("AUROC", exact=True).click()
    reader.sees(lambda: "AUROC ↑" not in heads.all_text_contents())
    reader.sees(lambda: "columns=" in page.url and "AUROC" not in page.url)
    page.goto(page.url)
    reader.sees(lambda: "FP ↓" in heads.all_text_contents())
    assert "AUROC ↑" not in heads.all_text_contents()


def test_nothing_fades_while_the_server_works(reader: Reader) -> None:
    """Of all frames from a choice to its result, none shows a part of the page half transparent.

    Streamlit marks what a run has not drawn anew yet, and fades it after half a second: the server's answers
    are held back for longer than that. The page does not look for news meanwhile, which would be runs too.
    """
    passing, held = None, []

    def between(browser: WebSocketRoute) -> None:
        def on_message(message: str | bytes) -> None:
            nonlocal passing
            assert isinstance(message, bytes)
            if ForwardMsg.FromString(message).HasField("auto_rerun"):
                return
            if passing == 0:
                held.append(message)
                return
            passing = None if passing is None else passing - 1
            browser.send(message)

        browser.connect_to_server().on_message(on_message)

    reader.page.route_web_socket(re.compile("_stcore/stream"), between)
    page = reader.open("/masks")
    page.locator(".grid[data-ready]").wait_for()
    page.evaluate(_WATCH)
    page.get_by_label("Sort by").click()
    reader.settled()  # no message of the run before counts among the two
    passing = 2  # that a run begins, and which
    page.get_by_role("option", name="size").click()
    page.wait_for_function("window.seen.stale > 0")
    page.wait_for_timeout(2500)
    assert page.evaluate("window.seen.least") == 1


def test_what_the_net_was_taught_is_a_choice_away_and_nothing_is_shown_without_a_mask(reader: Reader) -> None:
    page = reader.open("/masks")
    page.locator(".grid[data-ready]").wait_for()
    page.get_by_label("Picture").select_option("weights")
    heads = page.locator(".column .line:first-of-type")
    expect(heads.nth(0)).to_contain_text("none given")
    expect(heads.nth(1)).to_contain_text("5 of 40 given")
    captions = page.locator("figcaption")
    for place, text in enumerate(
        ["nothing is taught", "0.98 to 7.67", "0.98 to 7.67", "0.98 to 7.67", "1 everywhere"]
    ):
        expect(captions.nth(place)).to_contain_text(text)
    pixels = "canvas.getContext('2d').getImageData(0, 0, 128, 128).data"
    levels = f"canvas => [...{pixels}].filter((_, i) => i % 4 === 0)"
    greys = page.locator("canvas.decision").nth(1).evaluate(levels)
    assert (min(greys), max(greys)) == pytest.approx((255 * 0.98 / 7.67, 255), abs=1)  # of the caption
    reader.sees(lambda: "picture=weights" in page.url)
    page.reload()
    expect(captions.nth(4)).to_contain_text("1 everywhere")
    page.get_by_label("Picture").select_option("decision")
    expect(captions.nth(1)).to_contain_text("found 1 of 1")
    reader.sees(lambda: "picture=" not in page.url)
    page.go_back()
    expect(page.get_by_label("Picture")).to_have_value("weights")
    expect(captions.nth(4)).to_contain_text("1 everywhere")
