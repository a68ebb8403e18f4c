"""Orthogonal designs: cells over which factors vary independently, and what is mixed up there.

Over such cells the mean of a level's cells minus that of another's is a main effect: all other factors are
averaged alike on both sides. Where a design leaves combinations out, an effect of one factor looks like an
interaction of others. :func:`read_aliases` says of which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from math import prod
from typing import NamedTuple

from assay.study.planning.cell_names import Levels

__all__ = ["Aliases", "orthogonal_levels", "read_aliases"]

_Columns = Mapping[str, Sequence[str]]  # factor → its level in each cell


class Aliases(NamedTuple):
    """Effects that a design cannot tell apart, because it leaves combinations out."""

    clear: bool  # no main effect is mixed up with an interaction of two factors
    rows: dict[str, str]  # `stop` → `balance × distance`

    def sentences(self) -> list[str]:
        """``stop is mixed up with balance × distance.``, for each effect."""
        clear = ["No main effect is mixed up with an interaction of two factors."] if self.clear else []
        return [*clear, *(f"{effect} is mixed up with {others}." for effect, others in self.rows.items())]


def orthogonal_levels(cells: Sequence[Levels]) -> dict[str, list[str]]:
    """Factors that vary → their levels, as they come; empty where main effects cannot be told.

    Each two factors must vary independently (proportional numbers of cells), no cell be there twice, and two
    factors vary: the effect of a single one is its comparison.
    """
    columns = _varied(cells)
    distinct = len(set(zip(*columns.values(), strict=True))) == len(cells) if columns else False
    if len(columns) < 2 or not distinct:
        return {}
    if not all(_independent(first, second) for first, second in combinations(columns.values(), 2)):
        return {}
    return {factor: list(dict.fromkeys(column)) for factor, column in columns.items()}


def read_aliases(cells: Sequence[Levels]) -> Aliases | None:
    """Aliases of an orthogonal design; None of any other, and of a full crossing, where nothing is mixed up.

    With main effects: interactions of two factors. Where these are clear of them: interactions with others.
    """
    levels = orthogonal_levels(cells)
    if not levels or len(cells) == prod(map(len, levels.values())):
        return None
    columns = _varied(cells)
    of_mains = dict(_mixed_mains(columns))
    if of_mains:
        return Aliases(clear=False, rows=of_mains)
    return Aliases(clear=True, rows=dict(_mixed_interactions(columns)))


def _mixed_mains(columns: _Columns) -> Iterator[tuple[str, str]]:
    for factor, column in columns.items():
        pairs = list(combinations([name for name in columns if name != factor], 2))
        mixed = [
            pair for pair in pairs if not _independent(column, columns[pair[0]], columns[pair[1]])
        ]  # fmt: skip

        # Where the levels of two factors give away the level of this one, the effects are wholly mixed up,
        # and no number of repeats tells them apart. Elsewhere some combinations are only more frequent than
        # others.
        wholly = [pair for pair in mixed if _decided(column, *(columns[name] for name in pair))]
        partly = [pair for pair in mixed if pair not in wholly]
        texts = [_crossed(pair) for pair in wholly]
        if len(partly) == len(pairs):
            texts.append("every interaction of two others, in part")
        else:
            texts += [f"{_crossed(pair)} in part" for pair in partly]
        if texts:
            yield factor, ", ".join(texts)


def _mixed_interactions(columns: _Columns) -> Iterator[tuple[str, str]]:
    """Groups of interactions that are one and the same column; then whether others are mixed in part."""
    group: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    partly = False
    for four in combinations(columns, 4):
        *three, last = (columns[name] for name in four)
        if _independent(*three, last):
            continue
        if not _decided(last, *three):
            partly = True
            continue

        # Where three columns decide the fourth, each way to take two pairs of the four gives two interactions
        # that are one and the same column.
        first = four[0]
        for other in four[1:]:
            pair = (first, other)
            rest = tuple(name for name in four if name not in pair)
            merged = [*group.get(pair, [pair]), *group.get(rest, [rest])]
            merged = list(dict.fromkeys(merged))
            group |= dict.fromkeys(merged, merged)
    for pair, alike in group.items():
        if pair == alike[0]:
            yield _crossed(pair), ", ".join(map(_crossed, alike[1:]))
    if partly:
        yield "every interaction of two factors", "others, in part"


def _varied(cells: Sequence[Levels]) -> dict[str, list[str]]:
    columns = {factor: [cell[factor] for cell in cells] for factor in (cells[0] if cells else ())}
    return {factor: column for factor, column in columns.items() if len(set(column)) > 1}


def _independent(*columns: Sequence[str]) -> bool:
    """True where every combination of levels is as frequent as its levels alone make it."""
    together, alone = Counter(zip(*columns, strict=True)), [Counter(column) for column in columns]
    cells = len(columns[0]) ** (len(columns) - 1)
    return all(
        together[levels] * cells == prod(counts[level] for counts, level in zip(alone, levels, strict=True))
        for levels in product(*alone)
    )


def _decided(column: Sequence[str], *by: Sequence[str]) -> bool:
    """True where the levels of the others say the level of this one."""
    return len(set(zip(column, *by, strict=True))) == len(set(zip(*by, strict=True)))


def _crossed(pair: Sequence[str]) -> str:
    return " × ".join(pair)
