"""Parts of pages that Streamlit has no widget for: registered once, drawn in the browser."""

from __future__ import annotations

from streamlit.components import v2

from assay.report.interactive.parallel import parallel_component
from assay.report.masks.grid import grid_component

__all__ = ["mask_grid", "parallel", "track_choices"]

_GRID, _AXES = grid_component(), parallel_component()
mask_grid = v2.component("mask_grid", html=_GRID.html, css=_GRID.css, js=_GRID.module)
parallel = v2.component("parallel", html=_AXES.html, css=_AXES.css, js=_AXES.module)

# A widget that is bound to the URL replaces the browser's entry, so Back would leave the page. What a reader
# has just chosen becomes an entry of its own instead, and Back undoes it. What a page writes by itself, when
# it is entered or after Back and Forward, still replaces.
_ENTRIES = """
export default function () {
  if (window.assayEntries) return;
  window.assayEntries = true;
  let chosen = -Infinity; // when the reader last used a control
  const use = ({ target }) => (chosen = target.closest?.("a") ? -Infinity : performance.now());
  for (const kind of ["pointerup", "keydown", "change"]) addEventListener(kind, use, true);
  addEventListener("popstate", () => (chosen = -Infinity), true);
  const replace = history.replaceState.bind(history);
  history.replaceState = (state, unused, url) => {
    const next = new URL(url ?? location.href, location.href);
    const differs = next.pathname === location.pathname && next.search !== location.search;
    if (!differs || performance.now() - chosen > 2000) return replace(state, unused, url);
    chosen = -Infinity;
    history.pushState(state, unused, url);
  };
}
"""
track_choices = v2.component("entries", html="", js=_ENTRIES)
