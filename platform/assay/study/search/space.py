"""The space of a search: which values a point may have, and which of them depend on others.

Pure rules, without a sampler: :func:`draw` walks the space from the parameters that stand alone to those
that depend on them (``when``) and asks for each value that is needed, whoever gives it: Optuna, a grid, or
the settings of a published preset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from assay.removed import what_to_write_instead
from assay.study.file.source import StudyProblem
from assay.study.search.spec import Choice, FloatRange, IntRange, Parameter, Scalar
from assay.study.settings.nesting import parents_first
from trainables.errors import nearest

__all__ = [
    "contains",
    "corners",
    "draw",
    "format_parameter",
    "format_scalar",
    "grid",
    "grid_size",
    "set_back",
    "space_problems",
]

Space = Mapping[str, Parameter]
Values = dict[str, Scalar]
_PREFIX = "config."


def draw(space: Space, value: Callable[[str, Parameter], Scalar]) -> Values:
    """The values of one point, in the order of the space; a parameter is asked for only where it applies.

    Args:
        space: A sound space (:func:`space_problems` found nothing).
        value: Gives the value of a parameter, by its path and rule.
    """
    drawn: Values = {}
    for path in _parents_first(space):
        if _applies(space[path], drawn):
            drawn[path] = value(path, space[path])
    return {path: drawn[path] for path in space if path in drawn}


def set_back(space: Space, values: Mapping[str, Scalar], path: str, default: Any) -> Values:
    """The values of a point without that of ``path``, and without those that were drawn only because of it.

    Args:
        space: A sound space.
        values: Of the point.
        path: The parameter that goes back.
        default: What the setting is where the parameter is not drawn.
    """
    known: dict[str, Any] = {path: default}
    for other in _parents_first(space):
        if other in values and other != path and _applies(space[other], known):
            known[other] = values[other]
    return {other: values[other] for other in values if other in known and other != path}


def contains(parameter: Parameter, value: Any) -> bool:
    """True where a value is one that the parameter may have."""
    if isinstance(parameter, Choice):
        truth = isinstance(value, bool)  # which equals 0 or 1
        return any(value == choice and truth == isinstance(choice, bool) for choice in parameter.choice)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    low, high = parameter.bounds
    return number and low <= value <= high and (isinstance(parameter, FloatRange) or value == int(value))


def corners(parameter: Parameter) -> tuple[Scalar, ...]:
    """The values with which a parameter is tried before anything trains: all choices, or both bounds."""
    return parameter.choice if isinstance(parameter, Choice) else parameter.bounds


def grid(space: Space) -> Iterator[Values]:
    """Every point of a space of choices and whole numbers, the last parameter fastest."""
    yield from _grid(space, _parents_first(space), {})


def grid_size(space: Space, limit: int) -> int:
    """The number of points of the grid; ``limit`` + 1 stands for any larger number."""
    return sum(1 for _, _ in zip(grid(space), range(limit + 1), strict=False))


def format_parameter(parameter: Parameter) -> str:
    """``0.003 … 2 (log)``, ``none, linear, power``: as a reader of tables wants it."""
    if isinstance(parameter, Choice):
        return ", ".join(
            str(value).lower() if isinstance(value, bool) else str(value) for value in parameter.choice
        )
    low, high = parameter.bounds
    return f"{low:g} … {high:g}" + (" (log)" if parameter.log else "")


def format_scalar(value: Scalar) -> str:
    """A drawn value in a table: four digits of a real number."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def space_problems(space: Space) -> Iterator[StudyProblem]:
    """Parameters that name no setting, and conditions that cannot be met."""
    for path, parameter in space.items():
        if not path.startswith(_PREFIX) or path == _PREFIX:
            message = f"a search sets the method's config, such as `config.lr`; found `{path}`"
            yield StudyProblem(("space", path), what_to_write_instead(("space", path)) or message)
        for other, value in parameter.when.items():
            at = ("space", path, "when", other)
            if other not in space:
                known = [name for name in space if name != path]
                way_out = nearest(other, known) if known else "it has no other"
                yield StudyProblem(at, f"a condition names another parameter of the space; {way_out}")
            elif not contains(space[other], value):
                yield StudyProblem(
                    at, f"`{other}` is never {value!r}: it is {format_parameter(space[other])}"
                )

    # What an order with parents first leaves out is part of a circle.
    circle = set(space) - set(_parents_first(space))
    if circle and all(other in space for path in circle for other in space[path].when):
        names = ", ".join(path for path in space if path in circle)
        yield StudyProblem(("space", min(circle)), f"conditions go in a circle: {names}")


def _parents_first(space: Space) -> list[str]:
    """Paths in an order in which a condition's parameter comes before those that depend on it."""
    return parents_first({path: parameter.when for path, parameter in space.items()})


def _applies(parameter: Parameter, drawn: Mapping[str, Scalar]) -> bool:
    return all(other in drawn and drawn[other] == value for other, value in parameter.when.items())


def _grid(space: Space, paths: list[str], drawn: Values) -> Iterator[Values]:
    if not paths:
        yield {path: drawn[path] for path in space if path in drawn}
        return
    path, *rest = paths
    parameter = space[path]
    if not _applies(parameter, drawn):
        yield from _grid(space, rest, drawn)
        return
    for value in _levels(parameter):
        yield from _grid(space, rest, {**drawn, path: value})


def _levels(parameter: Parameter) -> Iterator[Scalar]:
    if isinstance(parameter, Choice):
        yield from parameter.choice
    else:
        assert isinstance(parameter, IntRange), "a grid has no real numbers: planning refuses them"
        low, high = parameter.bounds
        yield from range(low, high + 1)
