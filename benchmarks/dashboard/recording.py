"""A recording of `assay demo` for the documentation: what a reader sees in the first twenty seconds.

``python -m benchmarks.dashboard.recording [--output docs/pictures/demo.webp]``: from the answer over the
masks at moving thresholds to the images that stay wrong, as Chromium shows them, as an animated WebP.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.dashboard.screenshots import CHROMIUM, PATIENCE, wait_until_drawn
from benchmarks.shared import parser_of
from tests.e2e.dashboard.serving import serve

_MASKS = ".grid[data-ready]"
_GLIDE, _GLIDE_MS = 4, 70  # frames of the pointer on its way, and milliseconds of each
_SLIDE_MS = 110  # of a frame in which the threshold moves
_QUALITY = 80  # of WebP

# A caption and a pointer, which a browser without a screen does not draw.
_OVERLAY = """styles => Object.entries(styles).forEach(([id, style]) => {
  document.body.append(Object.assign(document.createElement("div"), {id, style}));
})"""
_STYLES = {
    "caption": "position: fixed; left: 50%; bottom: 22px; transform: translateX(-50%); z-index: 1000000; "
    "padding: 9px 20px; border-radius: 8px; background: #14171aeb; color: #fff; white-space: nowrap; "
    "font: 600 19px 'Source Sans', sans-serif",
    "pointer": "position: fixed; left: 640px; top: 420px; z-index: 1000001; width: 18px; height: 18px; "
    "margin: -9px; border-radius: 50%; background: #d55e00b0; border: 2px solid #fff; "
    "box-shadow: 0 0 4px #0008; pointer-events: none",
}
_MOVE = (
    """([x, y]) => Object.assign(document.getElementById("pointer").style, {left: `${x}px`, top: `${y}px`})"""
)
_CAPTION = """text => { document.getElementById("caption").textContent = text }"""
_SLIDE = """(slider, value) => {
  slider.value = value;
  slider.dispatchEvent(new Event("input", {bubbles: true}));
  return new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)));
}"""


class Film:
    """Frames of a page, each with the milliseconds for which it stays."""

    def __init__(self, page: Page) -> None:
        self._page, self._place = page, (640.0, 420.0)
        self._frames: list[tuple[bytes, int]] = []

    def say(self, caption: str) -> None:
        """Put a caption over the page from now on."""
        self._page.evaluate(_CAPTION, caption)

    def hold(self, milliseconds: int) -> None:
        """Keep what the page shows now."""
        self._frames.append((self._page.screenshot(), milliseconds))

    def point(self, x: float, y: float) -> None:
        """Move the pointer there."""
        (from_x, from_y), self._place = self._place, (x, y)
        for step in range(1, _GLIDE + 1):
            share = step / _GLIDE
            self._page.evaluate(_MOVE, [from_x + share * (x - from_x), from_y + share * (y - from_y)])
            self.hold(_GLIDE_MS)

    def open(self, tab: str, shown: str) -> None:
        """Click a tab, or the name of a part of the page, and wait until it is drawn."""
        link = self._page.get_by_role("link", name=tab, exact=True)
        link = link.or_(self._page.get_by_role("radio", name=tab, exact=True))
        box = link.bounding_box()
        assert box is not None, f"the tab {tab} is visible"
        self.point(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        link.click()
        wait_until_drawn(self._page, shown)

    def write(self, path: Path) -> float:
        """Write the frames as one picture that moves; returns its seconds."""
        first, *rest = (Image.open(io.BytesIO(data)).convert("RGB") for data, _ in self._frames)
        durations = [milliseconds for _, milliseconds in self._frames]
        first.save(
            path,
            save_all=True,
            append_images=rest,
            duration=durations,
            loop=0,
            quality=_QUALITY,
            method=4,
        )
        return sum(durations) / 1000


def record(page: Page, url: str) -> Film:
    """Walk through the demo."""
    page.goto(url, timeout=PATIENCE)
    wait_until_drawn(page, ".st-key-answer-next")
    page.evaluate(_OVERLAY, _STYLES)
    film = Film(page)
    film.say("What pays, what can go, what is undecided, and what to do next")
    film.hold(7000)
    film.open("Images", _MASKS)
    film.say("The same images in every variant")
    film.hold(2600)
    _slide(film, page)
    film.open("Misses and false alarms", "[data-testid=stDataFrame] canvas")
    film.say("Test images that stay wrong, and in which variants")
    film.hold(4500)
    return film


def _slide(film: Film, page: Page) -> None:
    """Move the threshold down, up, and back to each model's own."""
    slider = page.locator(".threshold").first
    box = slider.bounding_box()
    assert box is not None, "the slider is visible"
    middle, least, most = (
        int(slider.evaluate(f"slider => slider.{name}")) for name in ("value", "min", "max")
    )

    def place(value: int) -> tuple[float, float]:
        share = (value - least) / (most - least)
        return box["x"] + 8 + share * (box["width"] - 16), box["y"] + box["height"] / 2

    film.point(*place(middle))
    film.say("… at any threshold")
    low, high = middle - (middle - least) * 3 // 4, middle + (most - middle) * 3 // 4
    way = [*range(middle, low, -16), *range(low, high, 16), *range(high, middle, -16), middle]
    for value in way:
        slider.evaluate(_SLIDE, value)
        page.evaluate(_MOVE, list(place(value)))
        film.hold(_SLIDE_MS)
    film.hold(700)


def main() -> None:
    """Serve the demo, walk through it, and write the recording."""
    parser = parser_of(__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/pictures/demo.webp"), help="where it goes")
    output: Path = parser.parse_args().output
    with sync_playwright() as program:
        browser = program.chromium.launch(executable_path=CHROMIUM)
        with serve(None, "demo") as served:
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            film = record(page, served.url)
            page.goto("about:blank")
        browser.close()
    seconds = film.write(output)
    sys.stdout.write(f"{output}: {seconds:.1f} s, {output.stat().st_size / 1e6:.2f} MB\n")


if __name__ == "__main__":
    main()
