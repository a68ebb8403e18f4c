"""`assay report --interactive` in a browser: from a file, without a network, with the dashboard's numbers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

import assay
from assay.analysis.results.reading import read_results
from assay.report.interactive.page import interactive_page
from assay.report.interactive.parallel import Axis, best_first, parallel_component, points_payload
from assay.storage import Store
from tests.dashboard.made_records import make_scene, make_study
from tests.dashboard.made_searches import make_large_search
from tests.e2e.dashboard.masks_page import MasksPage
from tests.e2e.dashboard.serving import serve
from tests.helpers.waiting import wait_for

TABLES = Path(assay.__file__).parent / "report" / "interactive" / "tables.js"
PROBES = 12
LEVELS = (128, 200)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`additions`, six cells and twelve probe images; `hunt`, a search."""
    store = Store(tmp_path_factory.mktemp("interactive"))
    make_study(store, make_scene(16, (96, 144)), seeds=1, probes=PROBES)
    make_large_search(store, "hunt", points=40)
    return store


@pytest.fixture(scope="module")
def written(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name in ("additions", "hunt"):
        (folder / f"{name}.html").write_text(interactive_page(read_results(store, name)), "utf-8")
    return folder


@pytest.fixture
def file(page: Page, written: Path) -> Page:
    page.context.set_offline(True)
    page.goto((written / "additions.html").as_uri())
    page.locator(".grid[data-ready]").wait_for()
    return page


def captions(masks: MasksPage, level: int) -> dict[str, list[list[str]]]:
    """Sample → texts below the picture of each cell."""
    masks.set_threshold(level)
    return dict(zip(masks.samples, masks.captions(), strict=True))


def test_a_file_has_the_dashboards_numbers_of_ten_probes(store: Store, written: Path, page: Page) -> None:
    told: dict[int, dict[str, list[list[str]]]] = {level: {} for level in LEVELS}
    with serve(store.uri) as served:
        masks = MasksPage(page, served.url)
        for number in ("1", "2"):
            masks.open(page=number, sort="sample")
            cells = page.locator(".column .name").all_text_contents()
            for level in LEVELS:
                told[level] |= captions(masks, level)
        page.goto("about:blank")  # before its server goes
    page.context.set_offline(True)
    page.goto((written / "additions.html").as_uri())
    masks.grid.wait_for()
    assert page.locator(".column .name").all_text_contents() == cells
    assert len(told[LEVELS[0]]) == PROBES >= 10
    assert {level: captions(masks, level) for level in LEVELS} == told


def test_slider_zoom_and_difference_work_from_a_file(file: Page) -> None:
    first = file.locator(".cell .line").first
    before = first.inner_text()
    file.locator("input.threshold").fill("250")
    expect(first).not_to_have_text(before)
    file.locator("input.difference").check()
    expect(file.locator(".legend")).to_contain_text("defect pixels gained")
    second = file.locator(".cell").nth(1).locator(".line").first
    expect(second).to_contain_text(re.compile(r"IoU [+−]0\.\d{3} · found"))
    file.locator(".frame").nth(1).click()
    expect(file.locator(".frame.zoomed")).to_have_count(6)
    expect(file.locator(".frame.zoomed .stack").first).to_have_attribute("style", re.compile(r"scale\(2\)"))


def test_the_reader_chooses_the_cells_of_a_file(file: Page) -> None:
    expect(file.locator(".column:visible")).to_have_count(6)
    for name in ("balance", "stop", "distance"):
        file.locator(".choices.cells").get_by_label(name, exact=True).uncheck()
    expect(file.locator(".column:visible .name")).to_have_text(
        ["no balance, no stop, no distance", "balance, stop", "balance, stop, distance"]
    )
    expect(file.locator(".cell:visible")).to_have_count(3 * PROBES)
    file.locator(".choices.cells").get_by_label("stop", exact=True).check()
    expect(file.locator(".column:visible")).to_have_count(4)


def test_a_curve_names_the_value_below_the_pointer(file: Page, store: Store) -> None:
    study = assay.open(store.uri).study("additions")
    trials = study.trials()
    cell = str(trials["cell"].iloc[2])
    curve = study.curve(str(trials.index[2]))
    file.get_by_label("Quantity").select_option(label="loss_cls")
    boxes = file.locator(".choices:not(.cells) input")
    for number in (0, 1, 3, 4, 5):
        boxes.nth(number).uncheck()
    line = file.locator(".curves .line")
    expect(line).to_have_count(1)
    line.scroll_into_view_if_needed()
    x, y = line.evaluate(
        """path => {
          const [point, box] = [path.getPointAtLength(0), path.ownerSVGElement.getBoundingClientRect()];
          return [box.left + point.x, box.top + point.y];
        }"""
    )
    file.mouse.move(x, y)
    value, epoch = curve["loss_cls"].iloc[0], curve["epoch"].iloc[0] + 1
    expect(file.locator(".curves output")).to_have_text(
        f"{cell}, seed 0: epoch {epoch}, loss_cls {float(f'{value:.6g}')}"
    )


def test_paper_has_every_picture_with_its_masks_and_no_control_of_the_grid(file: Page) -> None:
    """Also those below the window, which the reader has not seen."""
    drawn = file.locator(".frame[data-level]")
    assert drawn.count() < 6 * PROBES
    file.pdf()
    expect(drawn).to_have_count(6 * PROBES)
    file.emulate_media(media="print")
    expect(file.locator("input.threshold")).to_be_hidden()
    expect(file.locator(".legend")).to_be_visible()
    expect(file.locator(".cell").first).to_have_css("break-inside", "avoid")


def test_tables_fit_upright_paper_with_all_their_columns(file: Page) -> None:
    width = 718  # CSS pixels of A4 between margins of 10 mm
    file.set_viewport_size({"width": width, "height": 1000})
    file.emulate_media(media="print")
    edges = file.locator("main table").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().right)"
    )
    assert max(edges) <= width
    expect(file.locator(".scroll").first).to_have_css("overflow", "visible")


def test_a_heading_sorts_its_table_and_gives_the_reports_order_back(file: Page) -> None:
    table = file.locator("main table").filter(has=file.locator("th", has_text=re.compile("^IoU"))).first
    heads = table.locator("th").all_inner_texts()
    column = next(i for i, head in enumerate(heads) if head.startswith("IoU"))
    shown = table.locator(f"tbody td:nth-child({column + 1})")
    usual = shown.all_inner_texts()
    button = table.locator("th button").nth(column)
    for order in (sorted(usual, reverse=True), sorted(usual), usual):
        button.click()
        assert shown.all_inner_texts() == order
    assert usual != sorted(usual, reverse=True)


def test_intervals_are_sorted_by_their_lower_ends(page: Page) -> None:
    rising = ["[−0.340, 0.100]", "[−0.034, 0.200]", "[0.002, 0.003]", "[0.010, 0.020]"]
    rows = "".join(f"<tr><td>{rising[k]}</td></tr>" for k in (2, 0, 3, 1))
    head = "<thead><tr><th>interval</th></tr></thead>"
    page.set_content(f"<main><div><table>{head}<tbody>{rows}</tbody></table></div></main>")
    page.add_script_tag(path=TABLES)
    for order in (rising[::-1], rising):
        page.get_by_role("button", name="interval").click()
        assert page.locator("td").all_inner_texts() == order


def test_a_search_is_brushed_and_filtered_in_its_file(page: Page, written: Path, store: Store) -> None:
    results = read_results(store, "hunt")
    (points,) = results.evaluated_points.values()
    page.context.set_offline(True)
    page.goto((written / "hunt.html").as_uri())
    drawn = page.locator(".parallel[data-ready]")
    expect(drawn).to_have_attribute("data-chosen", str(len(points)))
    page.get_by_role("slider", name="epochs", exact=True).focus()
    page.keyboard.press("Enter")  # the upper half
    upper = [row for row in points if float(row.point.values["config.epochs"]) >= 55]
    expect(drawn).to_have_attribute("data-chosen", str(len(upper)))
    assert 0 < len(upper) < len(points)
    best = best_first(results.plan, points)[0].point.name
    history = page.locator("section", has=page.get_by_role("heading", name="History"))
    history.get_by_role("searchbox").fill(best)
    expect(history.locator("tbody tr:visible")).to_have_count(1)
    expect(history.locator("tbody tr:visible")).to_contain_text(best)


def test_thousands_of_lines_in_a_hidden_part_are_drawn_when_it_is_shown(page: Page) -> None:
    places = np.linspace(0, 1, 2000, dtype=np.float32)
    axes = [Axis("lr", "lr", places, ()), Axis("ap", "AP", places[::-1], ())]
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    part = parallel_component().markup(points_payload(axes, {}))
    page.set_content(f'<div id="part" style="display: none">{part}</div>')
    page.locator(".parallel[data-ready]").wait_for(state="attached")
    page.locator("#part").evaluate("part => { part.style.display = 'block'; }")
    canvas = page.locator("canvas")
    middle = "canvas.getContext('2d').getImageData(canvas.width / 2, 0, 1, canvas.height)"
    painted = f"canvas => canvas.width > 0 && {middle}.data.some(Boolean)"
    wait_for(lambda: bool(canvas.evaluate(painted)))
    assert errors == []
