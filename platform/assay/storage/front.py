"""The front of points with several objectives: those that no other point beats in all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["beats", "front_of"]

Values = Sequence[float]  # one of each objective, in their order


def beats(values: Values, others: Values, signs: Sequence[int]) -> bool:
    """True where ``values`` are nowhere worse than ``others`` and somewhere better.

    Args:
        values: Of one point.
        others: Of another.
        signs: 1 where higher is better, −1 where lower is.
    """
    better = [sign * (a - b) for a, b, sign in zip(values, others, signs, strict=True)]
    return min(better) >= 0 and max(better) > 0


def front_of(points: Sequence[Values], signs: Sequence[int]) -> list[int]:
    """The indices of the points that none beats; its ends first, then where it is emptiest.

    The order is that of Deb's crowding distance (2002, NSGA-II): the first few of a long front lie far apart.
    """
    if not points:
        return []
    costs = -np.asarray(points, np.float64) * np.asarray(signs)
    front: list[int] = []
    for index in np.lexsort(costs.T[::-1]):  # whoever beats a point comes before it
        known = costs[front]
        worse = (known <= costs[index]).all(axis=1) & (known < costs[index]).any(axis=1)
        if not worse.any():
            front.append(int(index))
    room = np.zeros(len(front))
    for column in costs[front].T:
        order = np.argsort(column, kind="stable")
        width = (column[order[-1]] - column[order[0]]) or 1.0
        room[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / width
        room[order[[0, -1]]] = np.inf
    return [index for _, index in sorted(zip(-room, front, strict=True))]
