"""Few cells for many switches: ``design: {screen: all}`` finds which of four to sixteen factors matter.

Every cell tells something of every factor: a main effect is the mean of half of the cells minus that of the
other half. So each factor gets all trainings, where leaving one out gives it those of two cells. The price is
interactions that are mixed up with each other, and in fewer cells with main effects.

The arrays are those of Box, Hunter and Hunter (regular fractions) and of Plackett and Burman 1946 (12 cells).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Annotated, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from assay.study.designs.base import DesignCell, DesignForm, StudyFactors, unknown
from assay.study.file.blocks import STRICT, OneOrMore
from assay.study.file.source import KeyPath, StudyProblem
from assay.study.names import Name
from assay.study.orthogonal import read_aliases

__all__ = ["DESIGN"]

_AT: KeyPath = ("design", "screen")
_FEWEST, _MOST = 4, 16
_TAKES = {8: (4, 7), 12: (5, 11), 16: (4, 15), 32: (5, 16)}  # cells → fewest and most factors
# Columns beyond the first factors, each the sum (mod 2) of those it names. By number of factors where more
# factors do not extend fewer; of the others, the first so many.
_GENERATORS = {
    8: {4: "ABC", 7: "AB AC BC ABC"},
    16: {5: "ABCD", 15: "ABC BCD ACD ABD ABCD AB AC AD BC BD CD"},
    32: {
        6: "ABCDE",
        7: "ABCD ABDE",
        8: "ABC ABD BCDE",
        9: "BCDE ACDE ABDE ABCE",
        10: "ABCD ABCE ABDE ACDE BCDE",
        16: "ABC BCD CDE ACD ADE BDE ABD ABE ACE BCE ABCDE",
    },
}
_PLACKETT_BURMAN = (1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0)  # turned eleven times, and a row of zeros

_Rows = list[tuple[int, ...]]  # of cells: 0 or 1 for each factor, its first or second level


class Screen(BaseModel):
    """Few cells over which all factors vary independently."""

    model_config = STRICT
    cells: Literal[8, 12, 16, 32] | None = Field(
        default=None,
        description="Cells to train. Main effects are mixed up with interactions in 8 from five factors on, "
        "in 12 always, in 16 from nine on. Default: 16 to 8 factors, else 32, where no main effect is.",
    )
    fold_over: Annotated[tuple[Name, ...], OneOrMore] = Field(
        default=(), description="Factors that have their other level in as many cells again: a follow-up."
    )


Block = Annotated[
    Annotated[Literal["all"], Tag("all")] | Annotated[Screen, Tag("block")],
    Discriminator(lambda value: "all" if isinstance(value, str) else "block"),
]


def _screen(block: Block) -> Screen:
    return Screen() if block == "all" else block


def _count(study: StudyFactors, block: Block) -> int:
    """Cells without those of a fold-over."""
    return _screen(block).cells or (16 if len(study.factors) <= 8 else 32)


def two_level_array(cells: int, factors: int) -> _Rows:
    """An orthogonal array of two levels, the first row all 0.

    Args:
        cells: Its rows: 8, 12, 16 or 32.
        factors: Its columns; a key of the tables above says how many the rows take.
    """
    # Plackett and Burman's design: one row, turned eleven times, below a row of zeros.
    if cells == 12:
        turned = [_PLACKETT_BURMAN[-i:] + _PLACKETT_BURMAN[:-i] for i in range(11)]
        return [row[:factors] for row in [(0,) * 11, *turned]]

    # The other sizes are regular fractions: some columns hold every combination, and each further one is a
    # sum of these, modulo 2. Which sums are taken decides what is mixed up with what.
    basic = cells.bit_length() - 1
    words = next(words for most, words in _GENERATORS[cells].items() if factors <= most).split()
    columns = [[letter] for letter in range(basic)]
    columns += [["ABCDE".index(letter) for letter in word] for word in words]
    return [
        tuple(sum(row[letter] for letter in column) % 2 for column in columns[:factors])
        for row in product((0, 1), repeat=basic)
    ]


def _rows(study: StudyFactors, block: Block) -> _Rows:
    rows = two_level_array(_count(study, block), len(study.factors))
    folded = [factor in _screen(block).fold_over for factor in study.factors]
    if any(folded):
        rows += [tuple(at ^ turn for at, turn in zip(row, folded, strict=True)) for row in rows]
    return rows


def _levels(study: StudyFactors, row: tuple[int, ...]) -> dict[str, str]:
    return {factor: list(levels)[at] for (factor, levels), at in zip(study.factors.items(), row, strict=True)}


def _cells(study: StudyFactors, block: Block) -> Iterator[DesignCell]:
    return (DesignCell(_levels(study, row)) for row in _rows(study, block))


def _size(study: StudyFactors, block: Block) -> int:
    return _count(study, block) * (2 if _screen(block).fold_over else 1)


def _format(study: StudyFactors, block: Block) -> str:
    folded = _screen(block).fold_over
    text = f"screen of {len(study.factors)} factors in {_count(study, block)} cells"
    return f"{text}, folded over {', '.join(folded)}: {_size(study, block)} cells" if folded else text


def _problems(study: StudyFactors, block: Block) -> Iterator[StudyProblem]:
    factors, screen = study.factors, _screen(block)
    shape = list(_shape_problems(study, screen))
    yield from shape
    names = screen.fold_over
    strange = [name for name in names if name not in factors]
    yield from (unknown((*_AT, "fold_over"), "factor", name, factors) for name in strange)
    if shape or strange:
        return
    rows = _rows(study, block)
    if len(set(rows)) < len(rows):
        message = (
            f"a fold-over adds new cells, and over {', '.join(names)} it repeats those that there are: name "
            "other factors, such as a single one"
        )
        yield StudyProblem((*_AT, "fold_over"), message)


def _shape_problems(study: StudyFactors, screen: Screen) -> Iterator[StudyProblem]:
    factors = study.factors
    for name, levels in factors.items():
        if len(levels) != 2:
            message = f"a screen has factors of two levels, found {len(levels)} of {name}: name two of them"
            yield StudyProblem(_AT, message)
    for name in study.nested:
        message = f"a screen crosses factors that always apply, and {name} is a sub-factor: take it out"
        yield StudyProblem(_AT, message)
    if not _FEWEST <= len(factors) <= _MOST:
        way = "use `full: all`" if len(factors) < _FEWEST else "make two studies of it"
        yield StudyProblem(_AT, f"a screen has {_FEWEST} to {_MOST} factors, found {len(factors)}: {way}")
    elif screen.cells is not None:
        fewest, most = _TAKES[screen.cells]
        if not fewest <= len(factors) <= most:
            message = (
                f"{screen.cells} cells screen {fewest} to {most} factors, found {len(factors)}: leave "
                "`cells` out"
            )
            yield StudyProblem((*_AT, "cells"), message)


def _follow_up(study: StudyFactors, block: Block, factor: str) -> str:
    """Propose the fold-over that separates most: all factors, or the one whose interactions matter."""
    aliases = read_aliases([cell.levels for cell in _cells(study, block)])
    if aliases is None or not aliases.rows or _screen(block).fold_over:
        return ""
    names = [factor] if aliases.clear else list(study.factors)
    frees = f"the interactions of {factor}" if aliases.clear else "main effects from interactions of two"
    cells = _count(study, block)
    return (
        f"Follow-up (fold over): `design: {{screen: {{cells: {cells}, fold_over: [{', '.join(names)}]}}}}` "
        f"adds {cells} cells with the other level of {'it' if aliases.clear else 'each factor'} and frees "
        f"{frees}. What is trained stays."
    )


DESIGN = DesignForm(
    name="screen",
    Block=Block,
    example="screen: all",
    description="Few cells for four to sixteen factors of two levels: every cell tells of every factor.",
    cells=_cells,
    size=_size,
    format=_format,
    problems=_problems,
    follow_up=_follow_up,
)
