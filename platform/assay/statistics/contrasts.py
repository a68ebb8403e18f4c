"""Contrasts: weights of cells that sum to 0, so that each has one value per repeat.

A comparison of two cells, a main effect and an interaction differ in their weights only; everything after is
the same for them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Literal

import pandas as pd

from assay.study.orthogonal import orthogonal_levels
from assay.study.planning.cell_names import Factors, Levels, common_name

__all__ = [
    "Ask",
    "Contrast",
    "comparison",
    "each_once",
    "interactions",
    "levels_on_data_sets",
    "main_effects",
    "over_data_sets",
]

Ask = Literal["pays", "can go"]

_FACTOR = "factor:"


@dataclass(frozen=True)
class Contrast:
    """A named difference between cells: Σ weight·score."""

    name: str  # `stop: off → on`
    weights: Mapping[str, float]  # cell → weight; they sum to 0
    within: str = ""  # what is the same on both sides, in words
    ask: Ask = "pays"  # `can go`: also whether dropping `cell_a` for `cell_b` loses less than `resolve`
    data_sets: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # data set → (from, to), by cells

    @property
    def pair(self) -> tuple[str, str] | None:
        """(cell_a, cell_b) of a comparison, a minus b; None for a contrast of more cells."""
        if len(self.weights) != 2 or self.data_sets:
            return None
        a, b = sorted(self.weights, key=lambda cell: -self.weights[cell])
        return a, b

    @property
    def is_of_means(self) -> bool:
        """True where either side is a mean of scores; those of an interaction are sums of two means."""
        return math.isclose(sum(weight for weight in self.weights.values() if weight > 0), 1.0)


def comparison(name: str, start: str, end: str, within: str = "", ask: Ask = "pays") -> Contrast:
    """Cell ``end`` minus cell ``start``; what can go is ``end``, the cell with the part."""
    return Contrast(name, {end: 1.0, start: -1.0}, within, ask)


def over_data_sets(
    name: str,
    pairs: Sequence[tuple[str, str]],
    levels: Mapping[str, Levels],
    *,
    factors: Factors,
    over: str,
    ask: Ask = "pays",
) -> list[Contrast]:
    """One comparison over data sets for all pairs that are alike in all but the data set.

    Args:
        name: Of the comparison.
        pairs: Cells (from, to), each pair on one data set.
        levels: Cell → its levels.
        factors: All factors with their levels.
        over: The factor whose levels are the data sets.
        ask: What is asked.
    """
    others = {factor: known for factor, known in factors.items() if factor != over}
    places: dict[str, dict[str, tuple[str, str]]] = {}
    for pair in pairs:
        start, end = ({f: level for f, level in levels[cell].items() if f != over} for cell in pair)
        place = common_name(others, start, end) if len(others) > 1 else ""
        places.setdefault(place, {})[levels[pair[0]][over]] = pair
    return [
        Contrast(
            name,
            {
                cell: sign / len(sets)
                for start, end in sets.values()
                for cell, sign in ((end, 1), (start, -1))
            },
            within,
            ask,
            sets,
        )
        for within, sets in places.items()
    ]


def levels_on_data_sets(
    levels: Mapping[str, Levels], factor: str, over: str
) -> list[dict[str, dict[str, str]]]:
    """Level of a factor → data set → cell, for all cells that are alike in all else.

    ``levels``: cell → its levels.
    """
    places: dict[tuple[str, ...], dict[str, dict[str, str]]] = {}
    for cell, of_cell in levels.items():
        place = tuple(level for name, level in of_cell.items() if name not in (factor, over))
        places.setdefault(place, {}).setdefault(of_cell[factor], {})[of_cell[over]] = cell
    return list(places.values())


def each_once(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """The contrasts without those that stand there twice, or once each way round: they are one question.

    Where one of the two asks ``can go``, it is the one that stays: it asks what the other does, and more.
    """
    first: dict[frozenset[tuple[str, float]], Contrast] = {}
    for contrast in contrasts:
        way, back = (frozenset((cell, sign * w) for cell, w in contrast.weights.items()) for sign in (1, -1))
        known = first.get(back, first.get(way))
        if known is None or (contrast.ask, known.ask) == ("can go", "pays"):
            first[back if back in first else way] = contrast
    return list(first.values())


def main_effects(table: pd.DataFrame) -> list[Contrast]:
    """Main effects of an orthogonal design: the mean of a level's cells minus that of the first level's.

    Empty for any other design, where the cells of two levels differ in more than the level.
    """
    design = _Orthogonal.read(table)
    return [
        Contrast(f"{factor}: {base} → {level}", design.weights({factor: (base, level)}))
        for factor, (base, *others) in design.levels.items()
        for level in others
    ]


def interactions(table: pd.DataFrame) -> list[Contrast]:
    """Interactions of a full factorial: the change of one factor's effect with another's level.

    One for each two factors and each of their levels beyond the first; empty for any other design. The name
    says the levels where a factor has more than two.
    """
    design = _Orthogonal.read(table)
    if len(design.cells) < math.prod(map(len, design.levels.values())):
        return []
    return [
        Contrast(
            f"{design.step_name(factor, level)} × {design.step_name(other, other_level)}",
            design.weights({factor: (base, level), other: (other_base, other_level)}),
        )
        for (factor, (base, *levels)), (other, (other_base, *other_levels)) in combinations(
            design.levels.items(), 2
        )
        for level, other_level in product(levels, other_levels)
    ]


@dataclass(frozen=True)
class _Orthogonal:
    """At least two factors that vary independently over the cells; no levels where they do not."""

    levels: dict[str, list[str]]  # factors that vary → levels, as they come
    cells: dict[str, dict[str, str]]  # cell → factor → level

    @classmethod
    def read(cls, table: pd.DataFrame) -> _Orthogonal:
        first = ~table.duplicated("cell").to_numpy()
        columns = {
            name.removeprefix(_FACTOR): [str(v) for v in table[name].to_numpy()[first]]
            for name in table.columns
            if name.startswith(_FACTOR)
        }
        names = [str(name) for name in table["cell"].to_numpy()[first]]
        cells = {
            name: {factor: column[i] for factor, column in columns.items()} for i, name in enumerate(names)
        }
        return cls(orthogonal_levels(list(cells.values())), cells)

    def step_name(self, factor: str, level: str) -> str:
        """``stop``, or ``supervision: full → few`` where there are other levels."""
        base, *others = self.levels[factor]
        return factor if len(others) == 1 else f"{factor}: {base} → {level}"

    def weights(self, steps: Mapping[str, tuple[str, str]]) -> dict[str, float]:
        """Product of the steps (level +1, base −1), with equal weight for all cells of a sign."""
        signs: dict[str, int] = {}
        for cell, levels in self.cells.items():
            if all(levels[factor] in step for factor, step in steps.items()):
                signs[cell] = math.prod(
                    1 if levels[factor] == level else -1 for factor, (_, level) in steps.items()
                )
        alike = Counter(signs.values())
        return {cell: sign * 2 ** (len(steps) - 1) / alike[sign] for cell, sign in signs.items()}
