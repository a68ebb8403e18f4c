"""A base cell, then one step after the other on top: ``design: {cumulative: {base: {...}, add: [...]}}``."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from assay.study.designs.base import (
    StudyFactors,
    VariedBlock,
    format_levels,
    main_factor,
    named_problems,
    row_problems,
    varied_design,
)
from assay.study.file.blocks import ComparisonSpec, as_lists
from assay.study.file.source import KeyPath, StudyProblem
from assay.study.names import Name
from assay.study.planning.cell_names import Levels
from assay.study.settings.nesting import below

__all__ = ["DESIGN"]


class Cumulative(VariedBlock):
    """The base, then one step after the other on top of it."""

    base: dict[Name, Name] = Field(description="A level of each factor.")
    add: tuple[dict[Name, Name], ...] = Field(
        min_length=1, description="Steps in their order, each a factor and its new level: `{stop: on}`."
    )


def _states(study: StudyFactors, block: Cumulative) -> Iterator[Levels]:
    state = dict(block.base)
    yield state
    for step in block.add:
        state = {**state, **step}
        yield state


def _comparisons(study: StudyFactors, block: Cumulative) -> Iterator[ComparisonSpec]:
    state = dict(block.base)
    for step in block.add:
        factor = main_factor(study, step)
        yield ComparisonSpec.model_validate({"factor": factor, "from": state[factor], "to": step[factor]})
        state |= step


def _problems(study: StudyFactors, block: Cumulative) -> Iterator[StudyProblem]:
    state = dict(block.base)
    seen = {factor: {level} for factor, level in state.items()}
    for index, step in enumerate(block.add):
        place: KeyPath = ("design", "cumulative", "add", index)
        strange = list(named_problems(study, as_lists(step), place))
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
                "whose level sets all of it"
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

        # Sub-factors of the old level are gone, but for those that the step sets anew.
        state = {f: level for f, level in state.items() if f in step or f not in below(study.nested, factor)}
        yield from row_problems(study, {**as_lists(state), **block.across}, place)


def _format(study: StudyFactors, block: Cumulative) -> str:
    steps = ", then ".join(" ".join(f"{f} {level}" for f, level in step.items()) for step in block.add)
    return f"cumulative from {format_levels(study, block.base)}: {steps}"


DESIGN = varied_design(
    "cumulative",
    Cumulative,
    "base",
    example="cumulative: {base: {...}, add: [...]}",
    description="A base cell, and cells that each add a step to the one before.",
    states=_states,
    comparisons=_comparisons,
    format=_format,
    problems=_problems,
)
