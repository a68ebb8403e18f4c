"""Shared parts of the pictures of scores: colours, markers, letters, and files of the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from assay.report.page.model import PictureForm
from trainables.evaluation.metrics import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["COLOURS", "GREY", "MARKERS", "PALE", "REPEAT", "key", "render", "score_axis"]

# Okabe, Ito 2008: colours that people of all kinds of colour vision tell apart. Markers say the same; there
# is one more of them, so that the eighth line is not drawn as the first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "v", "P", "X", "p", "D")
GREY, PALE = "#444444", "#C4C4C4"
REPEAT: dict[str, Any] = {
    "marker": "o",
    "markersize": 4.5,
    "markeredgecolor": "white",
    "markeredgewidth": 0.5,
    "linestyle": "",
    "alpha": 0.65,
}
_SIZE = (8.0, 5.0)  # inches
_DPI = 200  # of the PNG: 1600 pixels wide, sharp at 800
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


def render(draw: Callable[[Figure], None], form: PictureForm, size: tuple[float, float] = _SIZE) -> bytes:
    """The file of a picture that ``draw`` draws on an empty figure (width and height in inches)."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    file = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        figure.savefig(file, format=form, dpi=_DPI, metadata=_METADATA[form])
    return file.getvalue()


def score_axis(axes: Axes, metric: Metric) -> None:
    """The vertical axis of a metric on test data: named, with its unit, and not beyond 1 for a share."""
    unit = metric.scale
    axes.set_ylabel(f"{metric.title} on test data ({unit})")
    if metric.unit == "share":
        low, high = axes.get_ylim()
        axes.set_ylim(low, min(high, 1 + 0.03 * (1 - low)))
        axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= 1])


def key(color: str, label: str, **style: Any) -> Line2D:
    """An entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, label=label, **style)
