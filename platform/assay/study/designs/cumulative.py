"""A base cell, then one step after the other on top: ``design: {cumulative: {base: {...}, add: [...]}}``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from assay.study.blocks import ComparisonSpec
from assay.study.cell_names import Levels
from assay.study.designs.base import (
    DesignCell,
    DesignForm,
    VariedBlock,
    crossed,
    crossed_size,
    format_across,
    format_levels,
    main_factor,
    named_problems,
    row_problems,
    start_problems,
)
from assay.study.names import Name
from assay.study.nesting import below
from assay.study.source import KeyPath, StudyProblem

if TYPE_CHECKING:
    from assay.study.schema import Study

__all__ = ["DESIGN"]

_AT: KeyPath = ("design", "cumulative")


class Cumulative(VariedBlock):
    """The base, then one step after the other on top of it."""

    base: dict[Name, Name] = Field(description="A level of each factor.")
    add: tuple[dict[Name, Name], ...] = Field(
        min_length=1, description="Steps in their order, each a factor and its new level: `{stop: on}`."
    )


def _cells(study: Study, block: Cumulative) -> Iterator[DesignCell]:
    return crossed(study, block, lambda: _states(block))


def _states(block: Cumulative) -> Iterator[Levels]:
    state = dict(block.base)
    yield state
    for step in block.add:
        state = {**state, **step}
        yield state


def _comparisons(study: Study, block: Cumulative) -> Iterator[ComparisonSpec]:
    state = dict(block.base)
    for step in block.add:
        factor = main_factor(study, step)
        yield ComparisonSpec(factor=factor, **{"from": state[factor], "to": step[factor]})
        state |= step


def _problems(study: Study, block: Cumulative) -> Iterator[StudyProblem]:
    problems = list(start_problems(study, block, block.base, _AT, "base"))
    yield from problems or _step_problems(study, block, _AT)


def _step_problems(study: Study, block: Cumulative, at: KeyPath) -> Iterator[StudyProblem]:
    state = dict(block.base)
    seen = {factor: {level} for factor, level in state.items()}
    for index, step in enumerate(block.add):
        place: KeyPath = (*at, "add", index)
        strange = list(named_problems(study, {f: (level,) for f, level in step.items()}, place))
        yield from strange
        if strange:
            return
        if not step:
            yield StudyProblem(place, "a step is a factor and its new level: `{stop: on}`")
            return
        factor = main_factor(study, step)
        if not set(step) <= {factor, *below(study.nested, factor)}:
            message = (
                f"a step changes one factor, found {', '.join(step)}: make it several steps, or one factor "
                "whose level is the bundle"
            )
            yield StudyProblem(place, message)
            return
        if factor not in state:
            yield StudyProblem(place, f"`{factor}` is not in the base: a step changes a factor that is")
            return
        if step[factor] in seen[factor]:
            message = f"{factor} was {step[factor]} before: each step adds something new"
            yield StudyProblem((*place, factor), message)
        state |= step
        for name, level in step.items():
            seen.setdefault(name, set()).add(level)
        state = {f: level for f, level in state.items() if f in step or f not in below(study.nested, factor)}
        chosen = {**{f: (level,) for f, level in state.items()}, **block.across}
        yield from row_problems(study, chosen, place)


def _size(study: Study, block: Cumulative) -> int:
    return crossed_size(study, block, block.base, len(block.add))


def _format(study: Study, block: Cumulative) -> str:
    steps = ", then ".join(" ".join(f"{f} {level}" for f, level in step.items()) for step in block.add)
    return f"cumulative from {format_levels(study, block.base)}: {steps}{format_across(block)}"


DESIGN = DesignForm(
    name="cumulative",
    Block=Cumulative,
    example="cumulative: {base: {...}, add: [...]}",
    description="A base cell, and cells that each add a step to the one before.",
    cells=_cells,
    size=_size,
    format=_format,
    problems=_problems,
    comparisons=_comparisons,
)
