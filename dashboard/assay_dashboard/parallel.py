"""Brushes on the axes of a search: how a URL says them, and which points they keep."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from assay.report.parallel import Axis, Brushes

__all__ = ["brush_texts", "brushes_of", "inside"]

_POSITIONS = re.compile(r"([01](?:\.\d{1,4})?):([01](?:\.\d{1,4})?)", re.ASCII)


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
