"""Points of a search as parallel coordinates: an axis for each parameter and one for the objective.

``parallel.js`` draws them, in the dashboard and in files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from assay.report.page.component import Component
from assay.storage.search_points import EvaluatedPoint
from assay.study import SearchPlan
from assay.study.search.space import format_scalar
from assay.study.search.spec import Choice, Parameter, Scalar

__all__ = [
    "Axis",
    "Brushes",
    "best_first",
    "objective_axis",
    "objective_name",
    "parallel_component",
    "parameter_axis",
    "point_axes",
    "points_payload",
]

Brushes = Mapping[str, tuple[float, float]]  # axis → lowest and highest position

_TICKS = 5
_BEST = 0.1  # share of the points that are drawn in full colour while nothing is brushed


def parallel_component() -> Component:
    """The markup, styles and script of the axes."""
    return Component.of(
        "assay.report.interactive",
        "parallel",
        html='<div class="scroller"><div class="parallel" style="height:420px"><canvas></canvas></div></div>',
        css="parallel.css",
        js=("parallel.js",),
        show="showParallel",
    )


def objective_name(plan: SearchPlan) -> str:
    """``validation.image_ap``, of several objectives the first."""
    objective = plan.search.objective
    return objective.max or objective.min or ""


def best_first(plan: SearchPlan, points: Sequence[EvaluatedPoint]) -> list[EvaluatedPoint]:
    """Points by the (first) objective, those without a value last."""
    sign = plan.search.objective.sign
    return sorted(points, key=lambda row: (row.value is None, -sign * (row.value or 0.0), row.point.index))


def point_axes(plan: SearchPlan, ranked: Sequence[EvaluatedPoint]) -> tuple[Axis, ...]:
    """The axes of points, in the points' order."""
    drawn = [row.point.values for row in ranked]  # reached once: the way there takes most of the time
    parameters = (
        parameter_axis(path, rule, [values.get(path) for values in drawn])
        for path, rule in plan.study.space.items()
    )
    sign = plan.search.objective.sign
    return (*parameters, objective_axis(objective_name(plan), [row.value for row in ranked], sign))


@dataclass(frozen=True)
class Axis:
    """One axis: where each point lies on it, and what is written beside it."""

    name: str
    title: str
    positions: NDArray[np.float32]  # a point: 0 (bottom) … 1 (top), NaN: it has no such value
    ticks: tuple[tuple[float, str], ...]


def parameter_axis(path: str, rule: Parameter, values: Sequence[Scalar | None]) -> Axis:
    """A parameter: its bounds are the ends (on a log scale where it is drawn so), choices lie evenly."""
    title = path.removeprefix("config.")
    if isinstance(rule, Choice):
        texts = list(dict.fromkeys(format_scalar(value) for value in rule.choice))
        last = max(1, len(texts) - 1)
        place = {text: index / last for index, text in enumerate(texts)}
        named = lru_cache(maxsize=None, typed=True)(format_scalar)  # of thousands of points, a few choices
        at = [math.nan if value is None else place.get(named(value), math.nan) for value in values]
        return Axis(path, title, np.array(at, np.float32), tuple((at, text) for text, at in place.items()))
    low, high = (math.log10(end) if rule.log else float(end) for end in rule.bounds)
    numbers = np.array([math.nan if value is None else value for value in values], np.float64)
    scaled = np.log10(numbers, out=numbers, where=numbers > 0) if rule.log else numbers
    positions = ((scaled - low) / (high - low)).astype(np.float32)
    steps = [low + (high - low) * i / (_TICKS - 1) for i in range(_TICKS)]
    texts = [f"{10**step if rule.log else step:.3g}" for step in steps]
    return Axis(path, title, positions, tuple((i / (_TICKS - 1), text) for i, text in enumerate(texts)))


def objective_axis(title: str, values: Sequence[float | None], sign: int) -> Axis:
    """The objective, better upwards."""
    numbers = np.array([math.nan if value is None else sign * value for value in values], np.float64)
    known = numbers[np.isfinite(numbers)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    width = (high - low) or 1.0
    decimals = 3 if width <= 1 else 1  # shares have a width of at most 1
    ticks = [low + width * i / (_TICKS - 1) for i in range(_TICKS)]
    return Axis(
        "objective",
        title,
        ((numbers - low) / width).astype(np.float32),
        tuple(((tick - low) / width, f"{sign * tick:.{decimals}f}") for tick in ticks),
    )


def points_payload(axes: Sequence[Axis], brushes: Brushes, restored: int = 0) -> bytes:
    """Header and positions for the browser; points come best first.

    The browser starts with ``brushes`` and keeps its own from then on, until ``restored`` rises: the times
    that Back or Forward led to the page.
    """
    count = len(axes[0].positions)
    head = {
        "axes": [{"name": axis.name, "title": axis.title, "ticks": axis.ticks} for axis in axes],
        "brushes": brushes,
        "count": count,
        "best": max(1, math.ceil(_BEST * count)),
        "restored": restored,
    }
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    positions = np.concatenate([axis.positions for axis in axes]).astype("<f4")
    return len(text).to_bytes(4, "little") + text + positions.tobytes()
