"""A base cell, and cells that differ from it in one factor: ``design: {one_at_a_time: {base: {...}}}``."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from assay.study.designs.base import StudyFactors, VariedBlock, format_levels, in_order, varied_design
from assay.study.file.blocks import ComparisonSpec
from assay.study.names import Name
from assay.study.planning.cell_names import Levels

__all__ = ["DESIGN"]


class OneAtATime(VariedBlock):
    """The base, and every other level of each factor alone on top of it."""

    base: dict[Name, Name] = Field(description="A level of each factor.")


def _states(study: StudyFactors, block: OneAtATime) -> Iterator[Levels]:
    yield block.base
    for factor in in_order(study, block.base):
        others = [level for level in study.factors[factor] if level != block.base[factor]]
        yield from ({**block.base, factor: level} for level in others)


def _comparisons(study: StudyFactors, block: OneAtATime) -> Iterator[ComparisonSpec]:
    for factor in in_order(study, block.base):
        if len(study.factors[factor]) > 1:
            yield ComparisonSpec.model_validate({"factor": factor, "from": block.base[factor]})


def _format(study: StudyFactors, block: OneAtATime) -> str:
    return f"one at a time from {format_levels(study, block.base)}"


DESIGN = varied_design(
    "one_at_a_time",
    OneAtATime,
    "base",
    example="one_at_a_time: {base: {...}}",
    description="A base cell, and cells that differ from it in one factor.",
    states=_states,
    comparisons=_comparisons,
    format=_format,
)
