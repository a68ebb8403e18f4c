"""Pictures of the dashboard for the documentation, of a study that was made up.

``python -m benchmarks.dashboard.screenshots [--folder docs/pictures]``: six cells × six seeds on synthetic
surfaces, scored by the evaluation of every trial; the pages as Chromium shows them at 1500 × 1000 pixels.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright

from assay.storage import Store
from benchmarks.shared import parser_of
from tests.dashboard.made_records import make_scene, make_study
from tests.e2e.dashboard.serving import serve

CHROMIUM = "/usr/bin/chromium"
STUDY = "additions"
PATIENCE = 300_000  # ms
_COMPARED = ["all off", "balance", "balance + stop", "balance + stop + distance"]
_MASKS = {"cells": _COMPARED, "b": _COMPARED[-1], "sort": "disagreement"}

# File name: page, its choices, and what shows that it is drawn.
PICTURES: dict[str, tuple[str, dict[str, str | list[str]], str]] = {
    "dashboard_table": ("table", {}, "[data-testid=stDataFrame] canvas"),
    "dashboard_masks": ("images", {**_MASKS}, ".grid[data-ready]"),
    "dashboard_difference": ("images", {**_MASKS, "difference": "1"}, ".grid[data-ready]"),
}


def take(page: Page, url: str, name: str, folder: Path) -> Path:
    """Open a page, wait until it is drawn and Streamlit rests, and keep its picture."""
    path, choices, shown = PICTURES[name]
    page.goto(f"{url}/{path}?{urlencode({'study': STUDY, **choices}, doseq=True)}", timeout=PATIENCE)
    wait_until_drawn(page, shown)
    target = folder / f"{name}.png"
    page.screenshot(path=target)
    return target


def wait_until_drawn(page: Page, shown: str) -> None:
    """Wait for what shows that a page is drawn, and until Streamlit rests."""
    page.locator(shown).first.wait_for(timeout=PATIENCE)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=PATIENCE)
    page.wait_for_timeout(3000)  # charts and tables come in with a fade


def main() -> None:
    """Make the study, serve it, and take all pictures."""
    parser = parser_of(__doc__)
    parser.add_argument("--folder", type=Path, default=Path("docs/pictures"), help="where they go")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="assay-screenshots-") as storage, sync_playwright() as program:
        store = Store(storage)
        make_study(store, make_scene(), name=STUDY, seeds=6, probes=12)
        browser = program.chromium.launch(executable_path=CHROMIUM)
        with serve(store.uri) as served:
            page = browser.new_page(viewport={"width": 1500, "height": 1000})
            for name in PICTURES:
                take(page, served.url, name, folder)
            page.goto("about:blank")
        browser.close()


if __name__ == "__main__":
    main()
