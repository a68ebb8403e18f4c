"""Parts of pages that Streamlit has no widget for: registered once, drawn in the browser."""

from __future__ import annotations

from streamlit.components import v2

from assay.report.mask_grid import grid_parts

__all__ = ["mask_grid"]

_PARTS = grid_parts()
mask_grid = v2.component(
    "mask_grid",
    html=_PARTS.html,
    css=_PARTS.css,
    js=f"{_PARTS.js}\nexport default showMaskGrid;\n",  # one module: inline scripts cannot import
)
