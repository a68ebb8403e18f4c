"""A dot plot in a cell of a table: every repeat as a tick, mean and interval over them. No widgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from assay.analysis.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import metric_summary

__all__ = ["MOST_CELLS", "Dots", "dot_plots"]

MOST_CELLS = 200  # of a table with pictures
# Of a picture, pixels. The table draws it 29 high, so a lower one would be wider than its column and cut.
_WIDTH, _HEIGHT, _MARGIN = 150, 28, 7
_COLOUR = "#3C89BF"  # a contrast of 3 and more to the page, light and dark


class Dots(NamedTuple):
    """A picture for each cell, all with the same axis."""

    title: str  # with the ends of the axis
    pictures: Mapping[str, str | None]  # cell → address of an image; None where nothing was measured


def dot_plots(results: StudyResults) -> Dots:
    """Repeats, mean and 95 % interval of the primary metric, on an axis that holds them all."""
    metric = results.primary
    intervals = study_analysis(results).intervals(metric.name)
    drawn: dict[str, list[float]] = {}
    summaries = metric_summary(results, metric.name)
    for summary in summaries:
        if summary.mean is not None:
            interval = intervals.get(summary.cell.name)
            ends = (summary.mean, summary.mean) if interval is None else (interval.low, interval.high)
            drawn[summary.cell.name] = [summary.mean, *ends, *summary.values.values()]
    if not drawn:
        return Dots("repeats", {})
    low, high = min(map(min, drawn.values())), max(map(max, drawn.values()))
    long, decimals = _WIDTH - 2 * _MARGIN, metric.decimals
    pictures: dict[str, str | None] = dict.fromkeys(summary.cell.name for summary in summaries)
    if low == high:
        alike = _address(*[_MARGIN + long / 2] * 4)
        return Dots(f"repeats, all {low:.{decimals}f}", {**pictures, **dict.fromkeys(drawn, alike)})
    for cell, places in drawn.items():
        pictures[cell] = _address(*(_MARGIN + long * (place - low) / (high - low) for place in places))
    return Dots(f"axis {low:.{decimals}f} – {high:.{decimals}f}", pictures)


def _address(mean: float, left: float, right: float, *repeats: float) -> str:
    """A picture as an address of its data; all places are pixels from the left."""
    middle = _HEIGHT / 2
    ticks = "".join(f"M{x:.1f} {middle - 7}v14" for x in repeats)
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">'
        f'<g stroke="{_COLOUR}"><path d="{ticks}" stroke-width="1.5" opacity=".5"/>'
        f'<path d="M{left:.1f} {middle}H{right:.1f}" stroke-width="2"/></g>'
        f'<circle cx="{mean:.1f}" cy="{middle}" r="4.5" fill="{_COLOUR}"/></svg>'
    )
    return f"data:image/svg+xml,{quote(drawn)}"
