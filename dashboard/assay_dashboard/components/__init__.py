"""Parts of pages that Streamlit has no widget for: registered once, drawn in the browser."""

from __future__ import annotations

from pathlib import Path

from streamlit.components import v2

__all__ = ["mask_grid"]

_HERE = Path(__file__).parent


def _part(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


mask_grid = v2.component(
    "mask_grid",
    html=_part("mask_grid.html"),
    css=_part("mask_grid.css"),
    # One module: inline scripts cannot import.
    js="".join(map(_part, ("mask_numbers.js", "mask_pixels.js", "mask_grid.js"))),
)
