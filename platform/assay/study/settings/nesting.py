"""Things that apply only where another has a certain value: nested factors, and conditional parameters.

A nested factor is a sub-factor of one or more levels of another factor (`iterations` of `crf: on`). Where
none of these is chosen it does not apply: the cell has :data:`NO_LEVEL` in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

__all__ = ["NO_LEVEL", "Nested", "applies", "below", "parents_first"]

NO_LEVEL = "–"  # no level can be called so: `assay.study.names`
Nested = Mapping[str, Mapping[str, Collection[str]]]  # factor → parent → levels with which it applies


def parents_first(parents: Mapping[str, Collection[str]]) -> list[str]:
    """Names in an order in which what they depend on comes before them, else in their own order.

    What goes in a circle, or depends on something unknown, is left out.
    """
    order: dict[str, None] = {}
    while True:
        ready = [name for name, on in parents.items() if name not in order and all(p in order for p in on)]
        if not ready:
            return list(order)
        order |= dict.fromkeys(ready)


def applies(nested: Nested, factor: str, levels: Mapping[str, str]) -> bool:
    """True where a factor applies in a cell; ``levels`` has its parents."""
    return all(levels[parent] in needed for parent, needed in nested.get(factor, {}).items())


def below(nested: Nested, factor: str) -> set[str]:
    """The sub-factors of a factor's levels, and theirs in turn."""
    nested_in: set[str] = set()
    new: Iterable[str] = (factor,)
    while new:
        new = [name for name, on in nested.items() if name not in nested_in and not on.keys().isdisjoint(new)]
        nested_in.update(new)
    return nested_in
