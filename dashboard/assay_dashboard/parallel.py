"""Points of a search as parallel coordinates: what the component gets, and what its brushes choose."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from streamlit.components import v2

from assay.study.search import Choice, Parameter, Scalar
from assay.study.space import format_scalar

__all__ = [
    "Axis",
    "Brushes",
    "brush_texts",
    "brushes_of",
    "inside",
    "objective_axis",
    "parallel",
    "parameter_axis",
    "points_payload",
]

Brushes = Mapping[str, tuple[float, float]]  # axis → lowest and highest position

_HERE = Path(__file__).parent / "components"
_TICKS = 5
_POSITIONS = re.compile(r"([01](?:\.\d{1,4})?):([01](?:\.\d{1,4})?)", re.ASCII)
_BEST = 0.1  # share of the points that are drawn in full colour while nothing is brushed

parallel = v2.component(
    "parallel",
    html='<div class="parallel" style="height:420px"><canvas></canvas></div>',
    css=(_HERE / "parallel.css").read_text(encoding="utf-8"),
    js=(_HERE / "parallel.js").read_text(encoding="utf-8"),
)


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
        order = {format_scalar(value): i for i, value in enumerate(rule.choice)}
        at = [math.nan if value is None else order.get(format_scalar(value), math.nan) for value in values]
        last = max(1, len(order) - 1)
        ticks = tuple((i / last, text) for text, i in order.items())
        return Axis(path, title, np.array([index / last for index in at], np.float32), ticks)
    low, high = (math.log10(end) if rule.log else float(end) for end in rule.bounds)
    numbers = [math.nan if value is None else float(value) for value in values]
    scaled = [math.log10(number) if rule.log and number > 0 else number for number in numbers]
    positions = np.array([(number - low) / (high - low) for number in scaled], np.float32)
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


def points_payload(axes: Sequence[Axis], brushes: Brushes) -> bytes:
    """Header and positions for the browser; points come best first.

    The browser starts with ``brushes`` and keeps its own from then on.
    """
    count = len(axes[0].positions)
    head = {
        "axes": [{"name": axis.name, "title": axis.title, "ticks": axis.ticks} for axis in axes],
        "brushes": brushes,
        "count": count,
        "best": max(1, math.ceil(_BEST * count)),
    }
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    positions = np.concatenate([axis.positions for axis in axes]).astype("<f4")
    return len(text).to_bytes(4, "little") + text + positions.tobytes()


def brush_texts(brushes: Mapping[str, Sequence[float]]) -> list[str]:
    """``config.lr:0.25:0.75`` for a brush, as it stands in a URL."""
    return [f"{name}:{low:g}:{high:g}" for name, (low, high) in brushes.items()]


def brushes_of(texts: Iterable[str], axes: Sequence[Axis]) -> Brushes:
    """The brushes that texts of a URL name. A text that names no axis, or no part of one, does not count."""
    names = {axis.name for axis in axes}
    brushes: dict[str, tuple[float, float]] = {}
    for text in texts:
        name, _, positions = text.partition(":")
        match = _POSITIONS.fullmatch(positions)
        if name in names and match is not None:
            low, high = float(match[1]), float(match[2])
            if low <= high <= 1:
                brushes[name] = low, high
    return brushes


def inside(axes: Sequence[Axis], brushes: Mapping[str, Sequence[float]]) -> NDArray[np.bool_]:
    """A mask of the points that lie within all brushes. Brushes of unknown axes do not count."""
    chosen = np.ones(len(axes[0].positions), np.bool_)
    for axis in axes:
        brush = brushes.get(axis.name)
        if brush is not None:
            chosen &= (axis.positions >= np.float32(brush[0])) & (axis.positions <= np.float32(brush[1]))
    return chosen
