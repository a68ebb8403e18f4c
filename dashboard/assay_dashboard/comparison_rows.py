"""Comparisons as one list: verdict, change in words, interval drawn in the row, number, count and p.

The list is HTML that lays itself out by its own width: the parts of a row stand beside each other on a wide
screen and below each other on a telephone. All places of an interval are shares of one axis, which all rows
have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from assay.analysis.names import sentence_case
from assay.report.figures.effects import EffectsPlot
from assay.report.page.html import escape
from assay.statistics.families import ComparisonResult
from assay.statistics.wording import (
    badge,
    better_text,
    decimal_text,
    p_text,
    signed,
)

__all__ = ["MOST_ROWS", "comparison_list"]

MOST_ROWS = 8  # of a list at once
_TICKS = 8  # numbers on the axis, about

# Verdict as a badge says it → class of its colour; all others are open.
_COLOURS: dict[str, str] = {
    "Keep": "sure",
    "Worse": "harm",
    "Can go": "settled",
    "Too small": "settled",
    "No difference": "settled",
    "Suggested": "doubt",
}


def comparison_list(
    plot: EffectsPlot,
    results: Sequence[ComparisonResult],
    words: Callable[[ComparisonResult], str],
    details: Sequence[str] = (),
) -> str:
    """The rows as HTML.

    Args:
        plot: Has the axis, and the band of what is too small to matter.
        results: The rows, in this order.
        words: The change that a row is about.
        details: A short second line for each of them; none: no line has one.
    """
    low, high = plot.limits

    def place(value: float) -> float:
        return 100 * (min(max(value, low), high) - low) / (high - low)

    # The axis stands above the rows, with the same columns as they have.
    marks = _marks(low, high)
    numbers = "".join(
        f'<span style="left:{place(mark):.2f}%">{escape(signed(mark, _decimals(marks)))}</span>'
        for mark in marks
    )
    gained = "gained" if plot.metric.better == "higher" else "difference"
    head = (
        '<div class="row head" aria-hidden="true"><span>Verdict</span><span>Change</span>'
        f'<span class="axis">{numbers}</span><span class="number">{escape(plot.metric.title)} {gained}, '
        '95 % interval</span><span class="count">better in</span></div>'
    )

    # One band for what is too small to matter and one line of zero, at the same place in every row.
    ground = f'<i class="zero" style="left:{place(0):.2f}%"></i>'
    if plot.resolve is not None:
        left, right = place(-plot.resolve), place(plot.resolve)
        ground = f'<i class="band" style="left:{left:.2f}%;width:{right - left:.2f}%"></i>{ground}'

    rows: list[str] = []
    for number, result in enumerate(results):
        word = badge(result)
        kind = _COLOURS.get(word, "open")
        title = sentence_case(words(result))
        detail = details[number] if details else ""
        # Every repeat as a tick, then the interval, then the mean on top. The words for it stand in the
        # label, for those who do not see the drawing.
        drawn = ground + "".join(
            f'<i class="tick" style="left:{place(value):.2f}%" title="{escape(unit)}: '
            f'{escape(signed(value, result.decimals))}"></i>'
            for unit, value in zip(result.units, result.differences, strict=True)
        )
        if result.low is not None and result.high is not None:
            left, right = place(result.low), place(result.high)
            drawn += f'<i class="interval" style="left:{left:.2f}%;width:{right - left:.2f}%"></i>'
        if result.difference is not None:
            drawn += f'<i class="point" style="left:{place(result.difference):.2f}%"></i>'
        p = "" if result.verdict_p is None else f"p {p_text(result.verdict_p)}"
        rows.append(
            f'<li class="row {kind}"><span class="verdict"><b>{word}</b></span>'
            f'<div class="change"><b>{escape(title)}</b><p>{escape(detail)}</p></div>'
            f'<span class="drawn" role="img" aria-label="{escape(_described(result))}">{drawn}</span>'
            f'<span class="number"><b>{_difference(result)}</b><small>{_interval(result)}</small></span>'
            f'<span class="count">{escape(_better(result))}<small>{escape(p)}</small></span></li>'
        )
    return f'<div class="comparisons">{head}<ol>{"".join(rows)}</ol></div>'


def _difference(result: ComparisonResult) -> str:
    return "–" if result.difference is None else escape(signed(result.difference, result.decimals))


def _interval(result: ComparisonResult) -> str:
    """``0.10 to 0.50``; of two repeats both, because no interval can be had."""
    if result.n == 2:
        return escape(" and ".join(signed(value, result.decimals) for value in result.differences))
    if result.low is None or result.high is None:
        return ""
    mark = "†" if result.disagree else ""
    return escape(
        f"{decimal_text(result.low, result.decimals)} to {decimal_text(result.high, result.decimals)}{mark}"
    )


def _better(result: ComparisonResult) -> str:
    return "no run yet" if result.n == 0 else better_text(result)


def _described(result: ComparisonResult) -> str:
    """The drawing in words, for those who do not see it."""
    if result.difference is None:
        return "No run is complete"
    values = ", ".join(
        f"{unit} {signed(value, result.decimals)}"
        for unit, value in zip(result.units[:12], result.differences[:12], strict=True)
    )
    more = f" and {len(result.units) - 12} more" if len(result.units) > 12 else ""
    return f"Difference {signed(result.difference, result.decimals)}; {values}{more}"


def _marks(low: float, high: float) -> list[float]:
    """Round numbers on an axis, zero among them."""
    # The next step of 1, 2 or 5 times a power of ten, so that numbers on the axis are short.
    rough = (high - low) / _TICKS
    decade = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * decade for factor in (1, 2, 5, 10) if factor * decade >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _decimals(marks: Sequence[float]) -> int:
    """The fewest decimals that tell the marks apart."""
    step = marks[1] - marks[0] if len(marks) > 1 else 1.0
    return max(0, -math.floor(math.log10(step) + 1e-9))
