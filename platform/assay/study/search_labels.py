"""Labels that a search draws: the supervision in its space, at the price of their hours.

``space: {supervision: {choice: [weak, {mixed: 8}, full]}}`` beside ``objective: [..., {min: label_hours}]``.
Each choice has splits of its own, since the masks of a split are part of it: they are planned with the cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from pydantic import ValidationError

from assay.study.points import DrawnLabels, SearchedCell
from assay.study.repeats import Repeat, search_parts
from assay.study.schema import Study
from assay.study.search import Choice, Parameter, Scalar, Search
from assay.study.settings import Device, PlannedCell, Settings, resolve_settings
from assay.study.source import KeyPath, StudyProblem, refuse
from assay.study.space import SUPERVISION, format_parameter
from trainables.data.spec import Supervision

__all__ = ["drawn_labels", "label_problems", "supervisions", "with_labels"]


def label_problems(study: Study, search: Search) -> Iterator[StudyProblem]:
    """Labels that are none, and a choice of labels without their price, or a price without a choice."""
    drawn, labels_cost = study.space.get(SUPERVISION), search.costs_labels
    if drawn is not None and not _are_labels(drawn):
        message = (
            "labels are some of none, weak, mixed and full: write `{choice: [weak, {mixed: 8}, full]}`; "
            f"found {format_parameter(drawn)}"
        )
        yield StudyProblem(("space", SUPERVISION), message)
    parts = {
        "`supervision: {choice: [weak, full]}` in `space`": drawn is not None,
        "`{min: label_hours}` in `objective`": labels_cost,
        "`labelling: {image_label_seconds: 2, mask_seconds: 60}` with your own seconds": study.labelling,
    }
    missing = [part for part, is_there in parts.items() if not is_there]
    if missing and (drawn is not None or labels_cost):
        rule = "a search that draws labels weighs them against the hours that they take"
        message = f"{rule}; missing: {', '.join(missing)}"
        at: KeyPath = ("search", "objective") if labels_cost else ("space", SUPERVISION)
        yield StudyProblem(at, message)


def supervisions(study: Study, cell: Supervision) -> list[Supervision]:
    """The supervisions that a point of a searched cell may have; ``cell``: the cell's own."""
    choice = study.space.get(SUPERVISION)
    return [Supervision.model_validate(value) for value in _values(choice)] or [cell]


def drawn_labels(study: Study, cells: Sequence[PlannedCell], device: Device) -> list[tuple[str, Settings]]:
    """Name of a cell and its settings with each supervision that may be drawn in it.

    Raises:
        InputError: If a method cannot be trained with one of them.
    """
    drawn: list[tuple[str, Settings]] = []
    problems: list[StudyProblem] = []
    for planned, value in product(cells, _values(study.space.get(SUPERVISION))):
        trainable, levels = planned.settings.trainable, planned.cell.levels
        settings, of_cell = resolve_settings(study, trainable, levels, device, drawn={SUPERVISION: value})
        problems += of_cell
        drawn += [] if settings is None else [(planned.cell.name, settings)]
    refuse(study.source, problems)
    return drawn


def with_labels(
    study: Study,
    searched: Sequence[SearchedCell],
    drawn: Sequence[tuple[str, Settings]],
    repeats: Sequence[tuple[Repeat, ...]],
) -> Iterator[SearchedCell]:
    """The searched cells with the splits of each supervision that may be drawn in them.

    Labels are drawn for several objectives, and then a cell has one search. ``repeats`` are those of each of
    :func:`drawn_labels`.
    """
    for cell in searched:
        labels: dict[str, DrawnLabels] = {}
        for (name, settings), of_choice in zip(drawn, repeats, strict=True):
            if name == cell.cell.name:
                (part,) = search_parts(study, settings.data, of_choice)
                labels[str(settings.supervision)] = DrawnLabels(
                    supervision=settings.supervision, repeats=part.repeats, fresh=part.fresh
                )
        yield cell.model_copy(update={"labels": labels}) if labels else cell


def _are_labels(parameter: Parameter) -> bool:
    try:
        return bool([Supervision.model_validate(value) for value in _values(parameter)])
    except ValidationError:
        return False


def _values(parameter: Parameter | None) -> Sequence[Scalar]:
    return parameter.choice if isinstance(parameter, Choice) else ()
