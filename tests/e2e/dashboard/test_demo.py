"""`assay demo` in a real browser: from its address to the answer, and to where the study fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd
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


def test_which_part_pays_and_where_the_best_fails_is_seen_without_a_click(viewer: Viewer) -> None:
    page = viewer.open("/")
    rows = page.locator(".comparisons li")
    expect(rows).to_have_count(4)
    expect(rows.nth(0)).to_contain_text(
        re.compile("Keep.*\\+0.305.*0.114 to 0.495.*6 of 6.*p .031", re.DOTALL)
    )
    expect(rows.nth(2)).to_contain_text("Dropping it loses at most 0.001 of AP")
    expect(page.locator(".variants tr.best")).to_contain_text("0.989")
    expect(page.locator(".odd")).to_have_text(
        "Seed 0 raises 22 false alarms, the other 5 have 1–5: its threshold is 0.08."
    )
    expect(page.get_by_text("repeats: {seeds: [0, 1, 2, 3, 4, 5, 6,")).to_be_visible()
    expect(page.get_by_text("To label: about 5 masks are enough")).to_be_visible()
    expect(page.locator(".failures img")).to_have_count(3)
    viewer.sees(lambda: page.evaluate(f"{MAIN}.scrollHeight") <= 1000)


def test_the_list_of_wrong_images_is_a_file(reader: Reader) -> None:
    page = reader.open("/")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export list (CSV)").click()
    wrong = pd.read_csv(download.value.path(), dtype={"image": str})
    assert set(wrong["variant"]) == {"masks=all stop=on distance=off"}
    assert len(wrong) == 18 + 34, "3.0 misses and 5.7 false alarms in each of six runs"
    alarms, misses = (wrong[wrong["error"] == kind] for kind in ("false alarm", "miss"))
    assert (alarms["score"] >= alarms["threshold"]).all()
    assert (misses["score"] < misses["threshold"]).all()


def test_the_image_threshold_moves_the_errors_of_all_test_images(reader: Reader) -> None:
    page = reader.open(
        "/images?cells=masks%3Dall+stop%3Don+distance%3Doff&cells=masks%3Dall+stop%3Don+distance%3Don"
    )
    page.locator(".grid[data-ready]").wait_for()
    errors = page.locator(".column .line:nth-of-type(4)")
    expect(errors.nth(0)).to_have_text("escapes 0 of 48 photos · false alarms 22 of 72 photos")
    order = page.locator(".sample").all_text_contents()
    page.get_by_label("Image threshold").fill("200")
    expect(errors.nth(0)).not_to_have_text("escapes 0 of 48 photos · false alarms 22 of 72 photos")
    page.get_by_label("at most").fill("2")
    expect(errors.nth(0)).to_contain_text(re.compile("false alarms [012] of 72"))
    page.get_by_label("at most").dispatch_event("change")
    reader.sees(lambda: "alarms=2" in page.url)
    assert page.locator(".sample").all_text_contents() == order, "images stay where they are"
    expect(page.locator(".image-level")).to_have_text("oracle on the test: models keep their own")
    with page.expect_download() as download:
        page.get_by_role("button", name="escapes and false alarms (CSV)").click()
    wrong = pd.read_csv(download.value.path())
    first = wrong[wrong["variant"] == page.locator(".column .name").first.text_content()]
    assert (first["error"] == "false alarm").sum() <= 2
    assert (first["error"] == "false alarm").sum() == (first["score"] >= first["threshold"]).sum()
    page.reload()
    expect(page.get_by_label("at most")).to_have_value("2")
    expect(errors.nth(0)).to_contain_text(re.compile("false alarms [012] of 72"))


def test_a_wrong_image_is_shown_large_in_all_variants_and_in_all_repeats(reader: Reader) -> None:
    page = reader.open("/images?images=Misses+and+false+alarms")
    expect(
        page.get_by_text("per run: 3.0 (0–4) misses of 48, 5.7 (1–22) false alarms of 72.")
    ).to_be_visible()
    page.goto(f"{page.url}&sample=00227")
    page.locator(".grid.single[data-ready]").wait_for()
    expect(page.locator(".column")).to_have_count(5)
    page.get_by_role("radio", name=re.compile("all repeats of")).click()
    expect(page.locator(".column .name")).to_have_text(["seed 0"])  # the others kept other images


def test_back_undoes_the_last_control_and_then_leaves_the_page(reader: Reader) -> None:
    page = reader.open("/table")
    page.get_by_role("radio", name="Effects").click()
    expect(page).to_have_url(re.compile("table=Effects"))
    reader.settled()
    page.go_back()
    expect(page.get_by_role("radio", name="Variants")).to_be_checked()
    assert "/table" in page.url


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/images?cells=nope", "The link names a variant that quickstart does not have: nope."),
        ("/runs?trial=nope", "The link names a trial that quickstart does not have: nope."),
        ("/runs?seed=99", "The link names a seed that quickstart does not have: 99."),
    ],
)
def test_what_a_link_names_and_the_study_does_not_have_is_said(reader: Reader, path: str, said: str) -> None:
    expect(reader.open(path).get_by_text(said)).to_be_visible()


def test_a_filter_without_a_result_offers_the_way_back(reader: Reader) -> None:
    page = reader.open("/images?show=A+finds%2C+B+misses&threshold=1")
    page.get_by_text("No example image matches.").wait_for()
    page.get_by_role("button", name="Show all").click()
    page.locator(".grid[data-ready]").wait_for()
    reader.sees(lambda: "show=" not in page.url)


@pytest.mark.parametrize("path", ["/runs?runs=Run", "/images?images=Masks"])
def test_paper_has_no_control_of_any_page(viewer: Viewer, path: str) -> None:
    page = viewer.open(path)
    controls = page.get_by_test_id("stMain").locator(":is(button:not(.frame), input, select, a):visible")
    expect(controls.nth(20)).to_be_attached()
    page.emulate_media(media="print")
    expect(controls).to_have_count(0)


def test_heads_of_masks_say_which_cells_they_are(viewer: Viewer) -> None:
    page = viewer.open("/images?images=Masks")
    page.locator(".grid[data-ready]").wait_for()
    names = page.locator(".column .name")
    for width in (1100, 400):
        page.set_viewport_size({"width": width, "height": 800})
        expect(names).to_have_count(5)
        viewer.sees(lambda: names.evaluate_all(f"names => names.every({_WHOLE})"))


@pytest.mark.parametrize("path", ["images", "runs", "table", "table?table=Effects", "labels", ""])
def test_no_page_hangs_over_its_window(viewer: Viewer, path: str) -> None:
    page = viewer.open(f"/{path}")
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 800})
        viewer.sees(lambda width=width: page.evaluate(f"{MAIN}.scrollWidth") <= width)


def test_every_column_that_the_table_opens_with_is_seen_whole(viewer: Viewer) -> None:
    viewer.page.set_viewport_size({"width": 1500, "height": 1000})
    grid = viewer.open("/table").locator("[data-testid=stDataFrame] .dvn-scroller").first
    viewer.sees(
        lambda: grid.evaluate("grid => grid.clientWidth > 1000 && grid.scrollWidth <= grid.clientWidth")
    )
    left_out = viewer.page.get_by_test_id("stButtonGroup").get_by_text("best IoU possible")
    expect(left_out).to_be_visible()


def test_the_table_of_variants_is_seen_whole_on_the_first_page(viewer: Viewer) -> None:
    """Beside the others where it fits there, else below them."""
    table = viewer.open("/").locator(".variants")
    for width in (1280, 1000, 720, 400):
        viewer.page.set_viewport_size({"width": width, "height": 900})
        viewer.sees(lambda: table.evaluate(_WHOLE))


def test_a_long_change_stays_in_a_telephones_window(viewer: Viewer) -> None:
    viewer.page.set_viewport_size({"width": 390, "height": 844})
    page = viewer.open("/")
    page.locator(".comparisons .change b").first.evaluate("text => { text.textContent = 'm'.repeat(60) }")
    assert page.evaluate(f"{MAIN}.scrollWidth") <= 390


def test_the_names_of_all_chosen_cells_are_seen_whole_and_nothing_hangs_over(viewer: Viewer) -> None:
    page = viewer.open("/images?images=Misses+and+false+alarms")
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
    page = viewer.open("/images?images=Misses+and+false+alarms")
    cells = page.locator("[data-testid=stDataFrame] [role=gridcell]")
    viewer.sees(lambda: {"67", "100"} <= set(cells.all_text_contents()))


def test_charts_are_drawn_anew_when_the_system_turns_dark(viewer: Viewer) -> None:
    page = viewer.open("/labels")
    text = page.locator("[data-testid=stVegaLiteChart] svg text").first
    expect(text).to_have_attribute("fill", INK["light"])
    page.emulate_media(color_scheme="dark")
    expect(text).to_have_attribute("fill", INK["dark"])


def test_the_trial_page_opens_on_the_best_cell_and_a_link_on_the_chosen_trial(reader: Reader) -> None:
    page = reader.open("/runs?runs=Run")
    expect(page.get_by_label("Variant")).to_have_value("all masks, no distance weights")
    expect(page.locator("[data-testid=stVegaLiteChart] :is(svg, canvas)").first).to_be_visible()
    page.get_by_label("Variant").click()
    page.get_by_role("option").first.click()
    reader.sees(lambda: "cell=masks" in page.url)
    chosen = page.get_by_label("Variant").input_value()
    assert chosen != "all masks, no distance weights"
    page.goto(page.url)
    expect(page.get_by_label("Variant")).to_have_value(chosen)


def test_no_chart_of_scores_cuts_a_label(viewer: Viewer) -> None:
    viewer.page.set_viewport_size({"width": 1400, "height": 900})
    charts = viewer.open("/runs?runs=Run&part=Scores").get_by_test_id("stVegaLiteChart")
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
    page = reader.open("/images?images=Masks")
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
    page = reader.open("/images?images=Masks")
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
