"""Placement of the names of points in a picture, so that none hides another or a point.

Each name takes the first of some places around its point, near ones first, that nothing stands in yet; where
there is none, the place that hides least. Names come in a fixed order, so equal pictures stay equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Box", "Place", "place_names", "spread"]

_DISTANCES = (10.0, 15.0, 22.0, 30.0, 40.0, 52.0, 66.0, 82.0, 100.0)  # points from a point's middle
_DIRECTIONS = (0, 180, 35, -35, 145, -145, 60, -60, 120, -120, 90, -90)  # degrees, right first
_AIR = 1.5  # points between a name and what is beside it
_OUTSIDE = 20.0  # how much worse it is to leave the picture than to hide something
_FAR = 0.4  # square points of hiding that a name nearer by a point is worth
_MISTAKEN = 60.0  # the same, of a name that is no nearer to its own point than to another


class Box(NamedTuple):
    """Left, bottom, right and top, in points."""

    left: float
    bottom: float
    right: float
    top: float

    def gap(self, x: float, y: float) -> float:
        """Distance of a point from the box."""
        return math.hypot(max(self.left - x, x - self.right, 0.0), max(self.bottom - y, y - self.top, 0.0))

    @property
    def area(self) -> float:
        return max(0.0, self.right - self.left) * max(0.0, self.top - self.bottom)

    def common(self, other: Box) -> float:
        """Square points that both cover."""
        return Box(
            max(self.left, other.left),
            max(self.bottom, other.bottom),
            min(self.right, other.right),
            min(self.top, other.top),
        ).area


class Place(NamedTuple):
    """Place of a name: its middle, and the distance from there to its point."""

    x: float
    y: float
    distance: float


def spread(places: Sequence[float], apart: float) -> list[float]:
    """Rising places, moved so that neighbours are ``apart``; those too near stand around their middle."""
    groups: list[list[float]] = []  # whose middles must be apart, each group around its own mean

    def edge(group: list[float], side: int) -> float:
        return sum(group) / len(group) + side * apart * (len(group) - 1) / 2

    for place in places:
        groups.append([place])
        while len(groups) > 1 and edge(groups[-1], -1) - edge(groups[-2], 1) < apart * (1 - 1e-10):
            last = groups.pop()
            groups[-1] += last
    return [edge(group, -1) + number * apart for group in groups for number in range(len(group))]


def place_names(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    taken: Sequence[Box],
    within: Box,
) -> list[Place]:
    """A place for each name; one that is nearer to another point than to its own is taken unwillingly.

    Args:
        points: Middle of each point, in points (1/72 inch).
        sizes: Width and height of each name.
        taken: What names should not hide: markers, bars, lines; the larger, the less.
        within: Where names should stay.
    """
    occupied = list(taken)
    places: list[Place] = []
    for number, ((x, y), (width, height)) in enumerate(zip(points, sizes, strict=True)):
        others = [point for other, point in enumerate(points) if other != number]
        best, least = Place(x, y, 0.0), math.inf
        for distance in _DISTANCES:
            for direction in _DIRECTIONS:
                place, box = _beside(x, y, width, height, distance=distance, direction=direction)
                hidden = sum(box.common(other) for other in occupied)
                outside = box.area - box.common(within)
                mistaken = any(box.gap(*other) <= box.gap(x, y) for other in others)
                cost = hidden + _OUTSIDE * outside + _FAR * distance + _MISTAKEN * mistaken
                if cost < least - 1e-9:
                    best, least = place, cost
        places.append(best)
        occupied.append(_around(best.x, best.y, width, height))
    return places


def _beside(
    x: float, y: float, width: float, height: float, *, distance: float, direction: float
) -> tuple[Place, Box]:
    """A name whose near edge is ``distance`` from the point in this direction."""
    angle = math.radians(direction)
    right, up = math.cos(angle), math.sin(angle)
    # The middle lies further out by half the name's size, as far as the direction goes that way.
    middle = (
        x + distance * right + width / 2 * (1 if right > 0.3 else -1 if right < -0.3 else 0),
        y + distance * up + height / 2 * (1 if up > 0.3 else -1 if up < -0.3 else 0),
    )
    return Place(*middle, distance), _around(*middle, width, height)


def _around(x: float, y: float, width: float, height: float) -> Box:
    return Box(x - width / 2 - _AIR, y - height / 2 - _AIR, x + width / 2 + _AIR, y + height / 2 + _AIR)
