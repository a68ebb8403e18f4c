"""What all pictures share: colours, letters, and files that are the same bytes for the same figure."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from assay.results.page.model import PictureForm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "GREY", "draw_figure"]

# Okabe, Ito 2008: colours that people of all kinds of colour vision tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#444444"
_DPI = 200  # of the PNG: 1600 pixels for 8 inches, sharp at 800
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 11,
    "text.parse_math": False,  # a `$` in a name is a `$`
    "svg.hashsalt": "assay",  # ids that do not change from run to run
    "pdf.fonttype": 42,  # TrueType: publishers refuse matplotlib's own kind
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
}
_METADATA: dict[PictureForm, dict[str, None]] = {
    "svg": {"Date": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
}


def draw_figure(size: tuple[float, float], form: PictureForm, draw_on: Callable[[Figure], None]) -> bytes:
    """A figure as a file.

    Args:
        size: Width and height in inches.
        form: What kind of file.
        draw_on: Draws on an empty figure.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    file = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw_on(figure)
        figure.savefig(file, format=form, dpi=_DPI, metadata=_METADATA[form])
    return file.getvalue()
