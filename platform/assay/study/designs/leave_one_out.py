"""The whole, and the whole without each factor: ``design: {leave_one_out: {whole: {...}}}``."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from assay.study.designs.base import (
    StudyFactors,
    VariedBlock,
    format_levels,
    in_order,
    named_problems,
    unknown,
    varied_design,
)
from assay.study.file.blocks import ComparisonSpec, as_lists
from assay.study.file.source import KeyPath, StudyProblem
from assay.study.names import Name
from assay.study.planning.cell_names import Levels

__all__ = ["DESIGN"]

_AT: KeyPath = ("design", "leave_one_out")


class LeaveOneOut(VariedBlock):
    """The whole, and for each factor the whole without it."""

    whole: dict[Name, Name] = Field(description="A level of each factor: all in.")
    without: dict[Name, Name] = Field(
        default_factory=dict,
        description="The level that a factor has when it is left out; default: the other one of two.",
    )


def _states(study: StudyFactors, block: LeaveOneOut) -> Iterator[Levels]:
    yield block.whole
    for factor in in_order(study, block.whole):
        level = _left_out(study, block, factor)
        assert level is not None, "_problems refuses it"
        yield {**block.whole, factor: level}


def _left_out(study: StudyFactors, block: LeaveOneOut, factor: str) -> str | None:
    """Name the level of a factor that is left out; None where the study does not say."""
    others = [level for level in study.factors[factor] if level != block.whole[factor]]
    return block.without.get(factor, others[0] if len(others) == 1 else None)


def _comparisons(study: StudyFactors, block: LeaveOneOut) -> Iterator[ComparisonSpec]:
    for factor in in_order(study, block.whole):
        ends = {"from": _left_out(study, block, factor), "to": block.whole[factor]}
        yield ComparisonSpec.model_validate({"factor": factor, **ends})


def _problems(study: StudyFactors, block: LeaveOneOut) -> Iterator[StudyProblem]:
    for factor, level in block.without.items():
        place = (*_AT, "without", factor)
        if factor not in block.whole:
            yield unknown(place, "factor of the whole", factor, block.whole)
        elif level == block.whole[factor]:
            yield StudyProblem(place, f"`{level}` is the level of the whole: leaving out is another one")
    yield from named_problems(study, as_lists(block.without), (*_AT, "without"))
    for factor in block.whole:
        if _left_out(study, block, factor) is None:
            levels = ", ".join(study.factors[factor])
            message = (
                f"say which level of {factor} ({levels}) means that it is left out: `without: "
                f"{{{factor}: ...}}`; or keep it: `across: {{{factor}: {block.whole[factor]}}}`"
            )
            yield StudyProblem((*_AT, "whole", factor), message)


def _format(study: StudyFactors, block: LeaveOneOut) -> str:
    factors = in_order(study, block.whole)
    without = ", ".join(f"{factor} {_left_out(study, block, factor)}" for factor in factors)
    return f"leave one out of {format_levels(study, block.whole)}: {without}"


DESIGN = varied_design(
    "leave_one_out",
    LeaveOneOut,
    "whole",
    example="leave_one_out: {whole: {...}}",
    description="The whole, and cells in which one factor is left out.",
    states=_states,
    comparisons=_comparisons,
    format=_format,
    problems=_problems,
)
