"""Names of cells: what is on, or the level of each factor.

In a study whose factors are all on/off a cell is called by what is on, ``stop + distance`` or ``all off``. In
any other its name is its levels, ``supervision=full stop=on``, and the level alone where there is one factor.
A sub-factor that does not apply is left out. The name is the same in tables, pages, MLflow and commands.

A key is a cell's levels alone (``on·off``). It does not change when a factor gets another level, so what a
search draws hangs on it, and cells of two studies are matched by it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from assay.study.settings.nesting import NO_LEVEL

__all__ = ["BASE_CELL", "Factors", "Levels", "cell_key", "cell_name", "common_name"]

BASE_CELL = "base"  # the only cell of a study without factors
_ALL_OFF = "all off"
_OTHERS_OFF = "others off"
_SWITCH = {"on", "off"}

Factors = Mapping[str, Collection[str]]  # factor → its levels
Levels = Mapping[str, str]  # factor → level, in the order of the factors


def cell_key(levels: Levels) -> str:
    """``{"supervision": "few", "stop": "on"}`` has the key ``few·on``."""
    return "·".join(levels.values()) or BASE_CELL


def cell_name(factors: Factors, levels: Levels) -> str:
    """``stop + distance`` where all factors are on/off, else ``supervision=full stop=on``.

    Args:
        factors: All factors of the study, with all their levels.
        levels: Of the cell.
    """
    if not levels:
        return BASE_CELL
    if _are_switches(factors):
        return " + ".join(factor for factor, level in levels.items() if level == "on") or _ALL_OFF
    if len(factors) == 1:
        return "".join(levels.values())
    return _level_by_level(levels)


def common_name(factors: Factors, start: Levels, end: Levels) -> str:
    """Name of what two compared cells have in common; empty where the study has one factor.

    A factor that is nested in the compared one may have a level in one of the two cells only. That level then
    tells pairs apart.
    """
    if not start or start == end:  # two points of a search in one cell
        return cell_name(factors, start) if start else ""
    shared = {factor: _shared(level, end[factor]) for factor, level in start.items()}
    common = {factor: level for factor, level in shared.items() if level is not None}
    if not _are_switches(factors):
        return _level_by_level(common)
    others_on = [factor for factor, level in common.items() if level == "on"]
    return " + ".join(others_on) or (_OTHERS_OFF if common else "")


def _are_switches(factors: Factors) -> bool:
    """True where every factor is on/off. One that is itself called so would read as a level."""
    return _SWITCH.isdisjoint(factors) and all(
        level in _SWITCH for levels in factors.values() for level in levels
    )


def _level_by_level(levels: Levels) -> str:
    return " ".join(f"{factor}={level}" for factor, level in levels.items() if level != NO_LEVEL)


def _shared(one: str, other: str) -> str | None:
    if other in (one, NO_LEVEL):
        return one
    return other if one == NO_LEVEL else None
