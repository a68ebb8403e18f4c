"""Parts that all designs are made of: the declaration, combinations of levels, and rules for names of levels.

A design that varies one factor after the other (:class:`VariedBlock`) starts from a level of each factor.
It may be repeated ``across`` the levels of others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel, Field

from assay.study.file.blocks import STRICT, ComparisonSpec, Level, LevelNames, as_lists
from assay.study.file.source import KeyPath, StudyProblem
from assay.study.names import Name
from assay.study.planning.cell_names import Levels, cell_key
from assay.study.settings.nesting import NO_LEVEL, applies, below, parents_first
from trainables.errors import nearest

__all__ = [
    "DesignCell",
    "DesignForm",
    "StudyFactors",
    "VariedBlock",
    "expanded",
    "format_levels",
    "format_parents",
    "in_order",
    "main_factor",
    "named_problems",
    "row_problems",
    "unknown",
    "varied_design",
]


class StudyFactors(Protocol):
    """The parts of a study that a design reads."""

    @property
    def factors(self) -> Mapping[str, Mapping[str, Level]]:
        """Factor → level → settings."""
        ...

    @property
    def nested(self) -> Mapping[str, Mapping[str, LevelNames]]:
        """Factor → parent → levels of the parent with which it applies."""
        ...


class DesignCell(NamedTuple):
    """A combination that a design asks for, and what its row sets on top of it."""

    levels: dict[str, str]
    override: Level | None = None
    at: KeyPath = ("design",)  # the place of the override in the file

    @property
    def key(self) -> str:
        """Levels of the cell as one text, which tell it from the others."""
        return cell_key(self.levels)


def _nothing(study: StudyFactors, block: Any) -> Iterator[Any]:
    return iter(())


def _no_follow_up(study: StudyFactors, block: Any, factor: str) -> str:
    return ""


def _no_start(block: Any) -> Levels:
    return {}


@dataclass(frozen=True)
class DesignForm:
    """A way to choose combinations of levels. Each function takes the study and the design's block in it.

    ``Block`` is what a study writes below the design's name: pydantic checks it, and editors complete it.
    """

    name: str
    Block: Any
    example: str  # as a study writes it: `full: all`
    description: str
    cells: Callable[[StudyFactors, Any], Iterator[DesignCell]]  # once `problems` has none
    size: Callable[[StudyFactors, Any], int]  # at most so many cells, counted before they are listed
    format: Callable[[StudyFactors, Any], str]  # the design in a line
    problems: Callable[[StudyFactors, Any], Iterator[StudyProblem]] = _nothing  # beyond the block's own shape
    comparisons: Callable[[StudyFactors, Any], Iterator[ComparisonSpec]] = (
        _nothing  # where the study states none
    )
    # A sentence with the design to go on with. The name is that of the factor that matters most so far.
    follow_up: Callable[[StudyFactors, Any, str], str] = _no_follow_up
    # The combination that others are told from: a level of some factors, or of none.
    start: Callable[[Any], Levels] = _no_start


class VariedBlock(BaseModel):
    model_config = STRICT
    across: dict[Name, LevelNames] = Field(
        default_factory=dict,
        description="Factors that are crossed instead: the design is repeated for each of these levels.",
    )


def varied_design(
    name: str,
    Block: type[VariedBlock],
    start_key: str,
    *,
    example: str,
    description: str,
    states: Callable[[StudyFactors, Any], Iterable[Levels]],
    comparisons: Callable[[StudyFactors, Any], Iterator[ComparisonSpec]],
    format: Callable[[StudyFactors, Any], str],
    problems: Callable[[StudyFactors, Any], Iterator[StudyProblem]] = _nothing,
) -> DesignForm:
    """A design that starts from a level of each factor; the rest is as in :class:`DesignForm`.

    Args:
        start_key: Field of the block with the start.
        states: The start, then what is varied, of the factors that the start has.
        format: The design in a line, without ``across``.
        problems: Beyond those of the start, and only where it has none.
    """

    # Crossed factors run outside, so that the cells of one design stand together in the table.
    def cells(study: StudyFactors, block: VariedBlock) -> Iterator[DesignCell]:
        varied = [as_lists(levels) for levels in states(study, block)]
        for fixed in product(*block.across.values()):
            held = as_lists(dict(zip(block.across, fixed, strict=True)))
            for levels in varied:
                yield from (DesignCell(cell) for cell in expanded(study, {**held, **levels}))

    def size(study: StudyFactors, block: VariedBlock) -> int:
        start = getattr(block, start_key)
        free = [factor for factor in study.factors if factor not in start and factor not in block.across]
        crossed = [*block.across.values(), *(study.factors[factor] for factor in free)]
        return len(list(states(study, block))) * prod(map(len, crossed))

    # What is varied makes sense from a sound start only, so its rules wait for those of the start.
    def all_problems(study: StudyFactors, block: VariedBlock) -> Iterator[StudyProblem]:
        of_start = list(_start_problems(study, block, getattr(block, start_key), ("design", name), start_key))
        yield from of_start or problems(study, block)

    def line(study: StudyFactors, block: VariedBlock) -> str:
        across = (f", for each {factor} of {', '.join(levels)}" for factor, levels in block.across.items())
        return format(study, block) + "".join(across)

    return DesignForm(
        name,
        Block,
        example,
        description,
        cells,
        size,
        line,
        problems=all_problems,
        comparisons=comparisons,
        start=lambda block: getattr(block, start_key),
    )


def _start_problems(
    study: StudyFactors, block: VariedBlock, start: Levels, at: KeyPath, key: str
) -> Iterator[StudyProblem]:
    """Refuse a start that lacks a factor, has an unknown one, or one that is crossed as well."""
    for factor in (factor for factor in start if factor in block.across):
        yield StudyProblem(
            (*at, "across", factor), f"`{factor}` is in `{key}` too: it is either varied or crossed"
        )
    across = list(named_problems(study, block.across, (*at, "across")))
    yield from across or row_problems(study, {**as_lists(start), **block.across}, (*at, key))


def format_levels(study: StudyFactors, levels: Levels) -> str:
    """``balance on, stop off``."""
    return ", ".join(f"{factor} {levels[factor]}" for factor in in_order(study, levels))


def format_parents(study: StudyFactors, factor: str) -> str:
    """Levels with which a sub-factor applies: ``crf on``, ``supervision few or full and crf on``."""
    return " and ".join(f"{parent} {' or '.join(levels)}" for parent, levels in study.nested[factor].items())


def in_order(study: StudyFactors, names: Collection[str]) -> list[str]:
    """Sort names of factors as the study has them."""
    return [factor for factor in study.factors if factor in names]


def expanded(study: StudyFactors, chosen: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """List all combinations of the chosen levels; a factor that is not chosen takes each of its levels."""
    nested = study.nested
    made: list[dict[str, str]] = [{}]

    # Parents first, as their levels decide whether a sub-factor has one. At the end the keys stand in the
    # study's order again.
    for factor in parents_first({name: nested.get(name, {}) for name in study.factors}):
        levels = chosen.get(factor, tuple(study.factors[factor]))
        made = [
            {**combination, factor: level}
            for combination in made
            for level in (levels if applies(nested, factor, combination) else (NO_LEVEL,))
        ]
    for combination in made:
        yield {factor: combination[factor] for factor in study.factors}


def main_factor(study: StudyFactors, step: Collection[str]) -> str:
    """The factor that a step is about; the others are sub-factors of its level."""
    return next(
        (factor for factor in step if set(step) <= {factor, *below(study.nested, factor)}), next(iter(step))
    )


def row_problems(
    study: StudyFactors, row: Mapping[str, Sequence[str]], at: KeyPath
) -> Iterator[StudyProblem]:
    """Unknown names, factors that apply and have no level, and levels of factors that never apply."""
    strange = list(named_problems(study, row, at))
    yield from strange
    if strange:
        return

    # The levels that each factor may have here. A sub-factor applies where every parent may have the level
    # that it hangs on.
    possible: dict[str, set[str]] = {}
    missing: list[str] = []
    for factor in parents_first({name: study.nested.get(name, {}) for name in study.factors}):
        needed = study.nested.get(factor, {})
        may = all(not possible[parent].isdisjoint(levels) for parent, levels in needed.items())
        if may and factor not in row:
            missing.append(factor)
        elif not may and factor in row:
            parents = format_parents(study, factor)
            message = f"{factor} applies with {parents} only, which is not the case here: leave it out"
            yield StudyProblem((*at, factor), message)
        possible[factor] = set(row.get(factor, ())) if may else set()
    if missing:
        named = ", ".join(factor for factor in study.factors if factor in missing)
        yield StudyProblem(at, f"a cell has a level of every factor; missing: {named}")


def named_problems(
    study: StudyFactors, chosen: Mapping[str, Sequence[str]], at: KeyPath
) -> Iterator[StudyProblem]:
    """Refuse factors and levels that the study does not define, and levels that are named twice."""
    for factor, levels in chosen.items():
        if factor not in study.factors:
            yield unknown((*at, factor), "factor", factor, study.factors)
            continue
        for level in levels:
            if level not in study.factors[factor]:
                yield unknown((*at, factor), f"level of {factor}", level, study.factors[factor])
        twice = sorted({level for level in levels if list(levels).count(level) > 1})
        if twice:
            yield StudyProblem((*at, factor), f"each level is named once, found twice: {', '.join(twice)}")


def unknown(path: KeyPath, what: str, name: str, known: Iterable[str]) -> StudyProblem:
    """Name what is not known, with the nearest that is."""
    return StudyProblem(path, f"unknown {what} `{name}`; {nearest(name, known)}")
