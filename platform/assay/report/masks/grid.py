"""The grid of probe images with its slider: one code for the dashboard, notebooks and files.

``payload.py`` orders the images and writes their bytes, the scripts beside it draw them and count. Nothing is
asked of a server and nothing is loaded.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from assay.analysis.names import variant_name
from assay.analysis.results.results import StudyResults
from assay.report.masks.payload import MOST_CELLS, MaskColumn, arrange, cell_column, page_payload
from assay.report.masks.sheets import records_with_maps
from assay.report.page.component import Component
from assay.report.tables.cells import highlighted_cells
from assay.storage.store import Store
from trainables.errors import InputError

__all__ = ["MaskGrid", "grid_component", "study_grid"]

_HEIGHT = 640  # pixels of a notebook's page; the grid scrolls in it
_FRAME = """\
:root { color-scheme: light dark; --quiet: GrayText; --above: 8rem; }
body { margin: 0.5rem; color: CanvasText; background: Canvas; }
"""


def grid_component() -> Component:
    """The grid's own markup, styles and scripts."""
    return Component.of(
        "assay.report.masks",
        "mask-grid",
        html=files("assay.report.masks").joinpath("mask_grid.html").read_text(encoding="utf-8"),
        css="mask_grid.css",
        js=("mask_numbers.js", "mask_pixels.js", "mask_grid.js"),
        show="showMaskGrid",
    )


@dataclass(frozen=True, eq=False)
class MaskGrid:
    """A grid, which a notebook shows. ``page()`` is a file that needs nothing else."""

    title: str
    payload: bytes = field(repr=False)

    def page(self) -> str:
        """The grid as an HTML file: pictures, styles and scripts inside."""
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>\n{_FRAME}</style>\n</head>\n<body>\n"
            f"{self.markup()}\n</body>\n</html>\n"
        )

    def markup(self) -> str:
        """The grid as a part of a page."""
        return grid_component().markup(self.payload)

    def _repr_html_(self) -> str:
        # A frame of its own: neither its styles nor its scripts reach the notebook.
        return (
            f'<iframe title="{html.escape(self.title)}" sandbox="allow-scripts" '
            f'style="width: 100%; height: {_HEIGHT}px; border: 0" '
            f'srcdoc="{html.escape(self.page())}"></iframe>'
        )


def study_grid(
    results: StudyResults, store: Store, cells: Sequence[str] | None, seed: int | None, images: int
) -> MaskGrid:
    """The probe images of one repeat in some cells; differences are to the first of them.

    Args:
        results: The study.
        store: Where its maps lie.
        cells: Names; None: those of :func:`~assay.report.tables.cells.highlighted_cells` that have maps.
        seed: Of the repeat; None: that of the repeat with maps in the most cells.
        images: Rows; defective images first.

    Raises:
        InputError: If none of these trials has kept probe images, or more than six cells are named.
    """
    kept = records_with_maps(results, results.plan.trials, store.read_part)
    repeat = next((repeat for repeat in kept if seed in (None, repeat.seed)), None)
    of_repeat = {} if repeat is None else kept[repeat]
    chosen = list(cells or highlighted_cells(results, of_repeat, MOST_CELLS))
    missing = [name for name in chosen if name not in of_repeat]
    if not chosen or missing or len(chosen) > MOST_CELLS:
        raise InputError(
            f"a grid shows 1 to {MOST_CELLS} cells that have probe images of one seed. Of {results.name}, "
            f"seed {'any' if seed is None else seed}, they are: {', '.join(of_repeat) or 'none'}; found "
            f"{', '.join(chosen) or 'none'}"
        )
    columns: list[MaskColumn] = []
    for name in chosen:
        maps = store.read_part(of_repeat[name], "maps.parquet")
        assert maps is not None, "the record names its maps"
        columns.append(cell_column(variant_name(results, name), maps, of_repeat[name].result))
    samples = arrange(columns, sort="class")[:images]
    payload = page_payload(samples, columns, base=columns[0] if len(columns) > 1 else None)
    return MaskGrid(f"{results.name}: probe images", payload)
