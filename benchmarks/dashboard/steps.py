"""Steps of a reader on the pages that ``waiting.py`` measures, and the seconds they may take.

Each way of acting returns the seconds until what was asked for is shown. A page is opened from an empty one,
so that no program only swaps a part of what it shows already.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from playwright.sync_api import Page

__all__ = ["MLFLOW", "OPTUNA", "PATIENCE", "SEARCH", "STUDY", "Step", "search_steps", "study_steps"]

STUDY, SEARCH = "large", "search"
PATIENCE = 300_000  # ms: what is slow is measured, not cut off
_PAGE, _MASKS, _FILTER, _PAINT = 2.0, 1.0, 0.4, 0.1  # seconds
_MOVES = 15  # of the slider
_POLL = 0.01  # seconds between two polls of the page

# From the slider's event to the frame that shows the new masks: the grid draws in the next animation frame,
# and the one after that begins when it was painted.
_SLIDER_TO_PAINT = """
(slider, level) => new Promise((done) => {
  const began = performance.now();
  slider.value = level;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  requestAnimationFrame(() => requestAnimationFrame(() => done((performance.now() - began) / 1000)));
})
"""


class Step(NamedTuple):
    """Step of a reader."""

    name: str
    limit: float | None  # seconds
    act: Callable[[Page, str], float]  # in a page of the program at a URL
    times: int = 1  # that it is done; its seconds are those of one


def _timed(act: Callable[[], object], shown: Callable[[], bool]) -> float:
    began = time.perf_counter()
    act()
    while not shown():  # Playwright's own waiting looks again after up to a second
        assert time.perf_counter() - began < PATIENCE / 1000, "what the step waits for never came"
        time.sleep(_POLL)
    return time.perf_counter() - began


def _visit(path: str, shown: str) -> Callable[[Page, str], float]:
    """Open a page, until ``shown`` (a selector) is visible."""

    def act(page: Page, url: str) -> float:
        page.goto("about:blank")
        return _timed(
            lambda: page.goto(f"{url}{path}", wait_until="commit"), page.locator(shown).first.is_visible
        )

    return act


def _settle(page: Page) -> None:
    """Wait until Streamlit runs nothing: what the last step left to do is no part of the next one."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def _choose(page: Page, label: str, option: str, shown: Callable[[], bool]) -> float:
    """Choose an option of a select by typing it; what opening its list takes is not counted."""
    _settle(page)
    page.get_by_role("combobox", name=label).first.click()
    page.keyboard.type(option)
    page.get_by_role("option", name=option).first.wait_for()
    return _timed(lambda: page.keyboard.press("Enter"), shown)


def _choose_variant(variant: str) -> Callable[[Page, str], float]:
    """On the page Table, until the runs of the variant are listed."""

    def act(page: Page, url: str) -> float:
        trials = page.locator("[data-testid=stDataFrame]").nth(1).locator("canvas").first
        return _choose(page, "Runs of", variant, trials.is_visible)

    return act


def _filter_masks(page: Page, url: str) -> float:
    """On the page Images, until the images of one class are drawn: never are all of the first rows of it."""
    grid = page.locator(".grid")
    before = grid.get_attribute("data-ready") or ""
    return _choose(page, "Show", "class dent", lambda: grid.get_attribute("data-ready") != before)


def _brush(page: Page, url: str) -> float:
    """On the page Runs: the upper half of an axis, until the points inside are counted."""
    _settle(page)
    page.get_by_role("slider", name="lr", exact=True).focus()
    inside = page.get_by_text("inside the brushes").first
    return _timed(lambda: page.keyboard.press("Enter"), inside.is_visible)


def _move_slider(page: Page, url: str) -> float:
    """Median over moves of the threshold with all six cells of the visible rows."""
    _settle(page)
    slider = page.locator("input.threshold")
    return statistics.median(
        float(slider.evaluate(_SLIDER_TO_PAINT, 90 + 5 * move)) for move in range(_MOVES)
    )


def _move_slider_in_difference(page: Page, url: str) -> float:
    """The same, while the cells are shown against A."""
    page.locator("input.difference").check()
    page.locator(".grid[data-ready$=':true']").wait_for()
    return _move_slider(page, url)


def study_steps(variant: str) -> tuple[Step, ...]:
    """Steps through a study with thousands of trials; ``variant``: the name of one."""
    return (
        Step("first page: the newest study's answer", _PAGE, _visit("/", ".st-key-answer-verdicts")),
        Step("list of studies", _PAGE, _visit("/runs?runs=All+studies", f".st-key-study-{STUDY} .bar")),
        Step(
            "table of the variants",
            _PAGE,
            _visit(f"/table?study={STUDY}", "[data-testid=stDataFrame] canvas"),
        ),
        Step("choice of a variant in the table", _FILTER, _choose_variant(variant)),
        Step("masks of six variants", _MASKS, _visit(f"/images?study={STUDY}", ".grid[data-ready]")),
        Step("filter of the masks", _FILTER, _filter_masks),
        Step("slider to paint", _PAINT, _move_slider, _MOVES),
        Step("slider to paint, difference", _PAINT, _move_slider_in_difference, _MOVES),
    )


def search_steps() -> tuple[Step, ...]:
    """Steps through a search with thousands of points."""
    return (
        Step("search page", _PAGE, _visit(f"/runs?runs=Search&study={SEARCH}", ".parallel[data-ready]")),
        Step("brush", _FILTER, _brush),
    )


OPTUNA = (
    Step("first page", None, _visit("/dashboard/", f"text={STUDY}")),
    Step("list of the trials", None, _visit("/dashboard/studies/1/trials", "text=Complete")),
)
MLFLOW = (
    Step("first page", None, _visit("/#/experiments", f"text={STUDY}")),
    Step(
        "table of the first 100 runs",
        None,
        _visit("/#/experiments/1/runs", ".ag-center-cols-container .ag-row"),
    ),
)
