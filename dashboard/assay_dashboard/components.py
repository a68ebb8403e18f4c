"""Parts of pages that Streamlit has no widget for: registered once, drawn in the browser."""

from __future__ import annotations

from streamlit.components import v2

from assay.report.interactive.parallel import parallel_component
from assay.report.masks.grid import grid_component

__all__ = ["mask_grid", "parallel"]

_GRID, _AXES = grid_component(), parallel_component()
mask_grid = v2.component("mask_grid", html=_GRID.html, css=_GRID.css, js=_GRID.module)
parallel = v2.component("parallel", html=_AXES.html, css=_AXES.css, js=_AXES.module)
