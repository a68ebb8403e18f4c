"""Every text of the dashboard can be read in both themes: a contrast of 4.5 to the page (WCAG AA, 1.4.3)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from assay.cli.pages import _FLAGS
from assay_dashboard.layout import INK
from assay_dashboard.plots import Theme

DASHBOARD = Path(__file__).parents[2] / "dashboard" / "assay_dashboard"
SHEETS = (DASHBOARD / "style.css",)
# The pages' background: Streamlit's own where `assay dashboard` names none.
PAGE = {name: _FLAGS.get(f"theme.{name}.backgroundColor", "#ffffff") for name in ("light", "dark")}
NAMES = "quiet|sure|doubt|settled"
GROUND = "on"  # of texts that stand on a ground of one of these
NAMED = re.compile(r"(--\w+): light-dark\((#\w{6}), (#\w{6})\);")
# What holds no text: layers of pictures, brushes, the bar of progress with its animation.
NO_TEXT = (".comparisons .tick", "from", "to")


def luminance(colour: str) -> float:
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("colour", "to_white"),
    [("#000000", pytest.approx(21)), ("#777777", pytest.approx(4.48, abs=0.005))],
    ids=["black", "grey"],
)
def test_contrast_is_that_of_the_standard(colour: str, to_white: float) -> None:
    assert contrast(colour, "#ffffff") == to_white


def test_named_colours_can_be_read_in_both_themes() -> None:
    named = NAMED.findall((DASHBOARD / "style.css").read_text("utf-8"))
    colours = {name.removeprefix("--"): dict(zip(PAGE, of_theme, strict=True)) for name, *of_theme in named}
    assert set(colours) == {*NAMES.split("|"), GROUND}
    for name in NAMES.split("|"):
        for theme, page in PAGE.items():
            assert contrast(colours[name][theme], page) >= 4.5, (name, theme)
            assert contrast(colours[name][theme], colours[GROUND][theme]) >= 4.5, (name, theme)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_texts_of_charts_can_be_read_in_both_themes(name: Theme) -> None:
    assert contrast(INK[name], PAGE[name]) >= 4.5


def test_chosen_values_can_be_read_in_both_themes() -> None:
    (chips,) = re.findall(
        r"\[data-tag\] \{ background-color: light-dark\((.+?), (.+?)\)", SHEETS[0].read_text("utf-8")
    )
    assert min(contrast(colour, "#ffffff") for colour in chips) >= 4.5


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda path: path.name)
def test_texts_have_named_colours_and_are_not_faded(sheet: Path) -> None:
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", sheet.read_text("utf-8"))
    assert rules
    for selector, body in rules:
        for colour in re.findall(r"(?<![-\w])color: ([^;]+)", body):
            assert re.fullmatch(rf"inherit|var\(--(st-text-color|{NAMES}|ink|{GROUND})\)", colour), selector
        assert not re.search(r"opacity: (?!1 )", body) or selector.strip() in NO_TEXT, selector
