"""The page Masks, as a reader uses it in a browser."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Locator, Page, expect

__all__ = ["MasksPage"]


class MasksPage:
    """What a reader does and sees."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.grid = page.locator(".grid[data-ready]")

    def open(self, **parameters: str | list[str]) -> MasksPage:
        self.page.goto(f"{self.address}/images?{urlencode({'study': 'additions', **parameters}, doseq=True)}")
        self.grid.wait_for()
        return self

    def set_threshold(self, level: int) -> None:
        slider = self.page.locator("input.threshold")
        slider.fill(str(level))
        expect(self.grid).to_have_attribute("data-ready", re.compile(f":{level}:"))

    def cell(self, row: int, column: int) -> Locator:
        columns = self.page.locator(".column").count()
        return self.page.locator(".cell").nth(row * columns + column)

    @property
    def samples(self) -> list[str]:
        return self.page.locator(".sample").all_text_contents()

    def caption(self, row: int, column: int) -> list[str]:
        return [
            line for line in self.cell(row, column).locator("figcaption .line").all_text_contents() if line
        ]

    def captions(self) -> list[list[list[str]]]:
        """By row and column."""
        columns = self.page.locator(".column").count()
        captions = self.page.locator(".cell figcaption").evaluate_all(
            "all => all.map(cell => [...cell.children].map(line => line.textContent).filter(text => text))"
        )
        return [captions[k : k + columns] for k in range(0, len(captions), columns)]

    def pixels(self, row: int, column: int, layer: str) -> NDArray[np.uint8]:
        """H × W × 4 of a layer's canvas, once it is drawn: only what is seen is."""
        frame = self.cell(row, column).locator(".frame")
        frame.scroll_into_view_if_needed()
        expect(frame).to_have_attribute("data-level", self.page.locator("input.threshold").input_value())
        width, height, values = (
            self.cell(row, column)
            .locator(f"canvas.{layer}")
            .evaluate(
                "c => [c.width, c.height, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]"
            )
        )
        return np.array(values, np.uint8).reshape(height, width, 4)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.page.url).query)
