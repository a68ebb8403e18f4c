"""Rules of a search, checked before anything trains: its space, objective, sampler, start, replicates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Literal

from assay.study.file.schema import Level, Study
from assay.study.file.source import KeyPath, StudyProblem
from assay.study.planning.cells import Cell
from assay.study.planning.identity import flatten
from assay.study.planning.repeats import repeats_per_point
from assay.study.search.space import (
    contains,
    corners,
    draw,
    format_parameter,
    grid_size,
    space_problems,
)
from assay.study.search.spec import FloatRange, Objective, Scalar, Search
from assay.study.settings.settings import AnyTrainable, Device, PlannedCell, level_paths, resolve_settings
from trainables.errors import InputError, nearest

__all__ = ["pruned_by", "search_problems", "start_values"]

_NOT_SET = "not set"  # stands for what a block that is left out does not have
_MOST_SPLITS = 10_000  # a split stands in tables as a fold does
_PACKAGES = {"gp": ("torch", "scipy")}  # that Optuna's samplers need beside Optuna


def search_problems(study: Study, cells: Sequence[PlannedCell], device: Device) -> Iterator[StudyProblem]:
    """Every rule that the study's search breaks."""
    search = study.search
    if search is None:
        blocks = {"space": study.space, "start": study.start, "replicate": study.replicate}
        for key in (key for key, value in blocks.items() if value):
            yield StudyProblem((key,), f"`{key}` belongs to a search: add a `search` block, or remove it")
        return
    if not study.space:
        yield StudyProblem(
            ("search",), "a search has a `space`: what it may set, such as `config.lr: {float: [...]}`"
        )
        return
    for index, _ in study.design.overrides if study.design else ():
        at: KeyPath = ("design", "rows", index, "override")
        yield StudyProblem(at, "an `override` belongs to rows that are trained as they are: make it a level")
    if study.budget is not None:
        yield StudyProblem(
            ("budget",), "a search has a budget of its own: `search.points`. Leave `budget` out"
        )
    if search.within == "study" and len(cells) > 1:
        message = (
            f"`study` searches one cell, and the design has {len(cells)}. Write `within: cell` for a search "
            "of equal budget in each, or let the search choose: put the factor's settings into `space`"
        )
        yield StudyProblem(("search", "within"), message)
    yield from _objective_problems(study, search, cells)
    yield from _front_problems(search)
    yield from _sampler_problems(search)
    yield from _pruner_problems(study, search)
    yield from _replicate_problems(study, search)
    yield from _several_problems(study, search, cells)

    # Each rule relies on those before it: values are tried on the methods where the space is sound, and start
    # points where the methods take its values.
    of_space = list(space_problems(study.space))
    yield from of_space
    if not of_space:
        yield from _grid_problems(study, search)
        of_values = list(_value_problems(study, cells, device))
        yield from of_values or _start_problems(study, search, [planned.cell for planned in cells])


def pruned_by(study: Study, search: Search) -> Literal["repeats", "epochs"] | None:
    """Unit that a pruner counts: ``repeats``, or ``epochs`` where a batch is one trial; None: no pruner."""
    if search.pruner is None:
        return None
    return "epochs" if repeats_per_point(study, search) == 1 or study.resources.pack == 1 else "repeats"


def start_values(study: Study, cell: Cell, start: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """A start point as values of the space: what it does not name is as in the cell.

    Raises:
        InputError: If a value is not one that the space allows.
    """
    settings: dict[str, Any] = {
        **flatten({"config": cell.config}),
        **start,
    }

    # The space says which parameters there are: a conditional one has a value only where its condition holds.
    values = draw(study.space, lambda path, _: settings.get(path, _NOT_SET))
    for path, value in values.items():
        if not contains(study.space[path], value):
            raise InputError(
                f"a start point lies in the space, and {path} is {value!r} in {cell.name}, not "
                f"{format_parameter(study.space[path])}. Widen the space, or leave the point out"
            )
    return values


def _objective_problems(study: Study, search: Search, cells: Sequence[PlannedCell]) -> Iterator[StudyProblem]:
    for number, objective in enumerate(search.objectives):
        at: KeyPath = ("search", "objective", *((number,) if search.has_front else ()))
        if not objective.is_cost:
            yield from _metric_problems(objective, at, cells)
    for cell, _ in cells:
        if cell.data.validation is None:
            message = "a search is evaluated on validation images, and `data.validation` is none"
            yield StudyProblem(("data", "validation"), message)
            return


def _metric_problems(
    objective: Objective, at: KeyPath, cells: Sequence[PlannedCell]
) -> Iterator[StudyProblem]:
    from trainables.evaluation.metrics import LABEL_FREE_METRICS, METRICS, DefectMetric

    name = objective.metric
    for trainable in _methods(cells):
        if name not in METRICS and name not in trainable.label_free_metrics:
            known = {*METRICS, *trainable.label_free_metrics}
            message = f"unknown metric `{name}`; {nearest(name, known)}"
            if name in LABEL_FREE_METRICS:
                message = f"{trainable.name} does not offer {name}. Take another, such as validation.image_ap"
            yield StudyProblem(at, message)
            return
    known = {**METRICS, **LABEL_FREE_METRICS}
    if isinstance(known[name], DefectMetric):
        message = f"{name} is measured on test images alone. Take another, such as validation.pixel_iou"
        yield StudyProblem(at, message)
        return
    right = "max" if known[name].better == "higher" else "min"
    if (objective.sign == 1) != (right == "max"):
        yield StudyProblem(
            at, f"{known[name].better} {name} is better: write `{{{right}: validation.{name}}}`"
        )
    lacking = (cell for cell, _ in cells if known[name].reads == "masks" and cell.supervision.kind != "full")
    for cell in lacking:
        message = (
            f"{name} reads the masks of validation images, which supervision {cell.supervision} (cell "
            f"{cell.name}) does not have. Take a metric of image labels, such as validation.image_ap"
        )
        yield StudyProblem(at, message)
        return


def _front_problems(search: Search) -> Iterator[StudyProblem]:
    """Name what asks for the one best point, which a search with several objectives does not have."""
    if not search.has_front:
        return
    needs_best: dict[KeyPath, bool] = {
        ("search", "pruner"): search.pruner is not None,
        ("search", "nested"): search.nested,
    }
    message = (
        f"it goes by the one best point, and a search with {len(search.objectives)} objectives has none. "
        "Leave it out, or name one objective"
    )
    yield from (StudyProblem(at, message) for at, is_set in needs_best.items() if is_set)


def _sampler_problems(search: Search) -> Iterator[StudyProblem]:
    missing = [name for name in _PACKAGES.get(search.sampler, ()) if find_spec(name) is None]
    if missing:
        message = (
            f"the sampler {search.sampler} needs the package {', '.join(missing)}, which is not installed: "
            f"`pip install {' '.join(missing)}`, or take tpe"
        )
        yield StudyProblem(("search", "sampler"), message)


def _grid_problems(study: Study, search: Search) -> Iterator[StudyProblem]:
    if search.sampler != "grid":
        return
    for path, parameter in study.space.items():
        if isinstance(parameter, FloatRange):
            yield StudyProblem(
                ("space", path), "a grid has choices and whole numbers: write `{choice: [...]}`"
            )
            return
    if study.start:
        yield StudyProblem(("start",), "a grid tries every point of the space: leave `start` out")
    if grid_size(study.space, search.points) > search.points:
        message = f"the grid has more than {search.points} points: raise `points`, or make the space smaller"
        yield StudyProblem(("search", "points"), message)


def _pruner_problems(study: Study, search: Search) -> Iterator[StudyProblem]:
    repeats, pruner = repeats_per_point(study, search), search.pruner
    if pruner is not None and pruned_by(study, search) == "repeats" and pruner.min >= repeats:
        message = (
            f"a point that may be pruned has repeats left: {pruner.min} of {repeats} before the first look"
        )
        yield StudyProblem(("search", "pruner", "min"), f"{message}. Lower `min`, or add seeds")
    if pruner is not None and pruner.kind == "median" and "factor" in pruner.model_fields_set:
        message = f"`factor` belongs to asha, found it with {pruner.kind}: leave it out"
        yield StudyProblem(("search", "pruner", "factor"), message)
    size = study.resources.pack
    if pruned_by(study, search) == "repeats" and isinstance(size, int) and size < repeats:
        message = (
            f"a pruner compares points repeat by repeat, in batches of all {repeats}; "
            f"found batches of {size}. Write `pack: auto`, or `pack: 1` to prune epoch by epoch"
        )
        yield StudyProblem(("resources", "pack"), message)


def _replicate_problems(study: Study, search: Search) -> Iterator[StudyProblem]:
    if study.replicate is None:
        return
    used = sorted(set(study.replicate.seeds) & set(study.repeats.seeds))
    if used:
        seeds = ", ".join(map(str, used))
        message = f"fresh seeds are none that the search used, found {seeds}, which chose the points"
        yield StudyProblem(("replicate", "seeds"), message)
    best, points = study.replicate.best, search.points
    if best > points:
        message = f"the best points are some of those that are tried, found {best} of {points} points"
        yield StudyProblem(("replicate", "best"), message)


def _several_problems(study: Study, search: Search, cells: Sequence[PlannedCell]) -> Iterator[StudyProblem]:
    """Rules of a cell that has several searches, one for each fold or split."""
    replicate = study.replicate
    own_splits = search.nested and any(cell.data.splits == "per_seed" for cell, _ in cells)
    at: KeyPath = ("search", "nested")
    if search.nested and not own_splits and not study.repeats.folds:
        message = (
            "a nested search has the folds of `repeats` or `splits: per_seed`, found one split, whose test "
            "images no search sees: leave `nested` out"
        )
        yield StudyProblem(at, message)
    large = [seed for seed in study.repeats.seeds if seed >= _MOST_SPLITS]
    if own_splits and large:
        message = f"splits of a nested search are numbered below {_MOST_SPLITS}, found {large[0]}: lower it"
        yield StudyProblem(("repeats", "seeds"), message)
    if replicate is None or not search.nested:
        return
    splits = len(study.repeats.seeds)
    if own_splits and len(replicate.seeds) != splits:
        message = (
            f"each search has a fresh seed of its own for its winner, found {len(replicate.seeds)} for "
            f"{splits} splits: name {splits}"
        )
        yield StudyProblem(("replicate", "seeds"), message)
    if replicate.best > 1:
        message = (
            "each of several searches sends its one winner to the table, found "
            f"best: {replicate.best}: leave it out"
        )
        yield StudyProblem(("replicate",), message)


def _value_problems(study: Study, cells: Sequence[PlannedCell], device: Device) -> Iterator[StudyProblem]:
    """Every bound and every choice, each alone on top of a cell: what its method refuses is named here."""
    # A level's setting that the search draws, too, would be lost, and with it the factor.
    for factor, levels in study.factors.items():
        for level, level_settings in levels.items():
            trained = _methods([planned for planned in cells if planned.cell.levels[factor] == level])
            paths = {path for trainable in trained for path in _varied(trainable, level_settings)}
            for path in sorted(paths & set(study.space)):
                message = f"level `{level}` of {factor} sets it: let either the factor or the search set it"
                yield StudyProblem(("space", path), message)

    # Each bound and each choice is tried on a cell of each method now. Otherwise the first point that draws
    # it would fail in the middle of the night.
    first_of = {planned.settings.trainable.name: planned for planned in reversed(cells)}
    for cell, settings in first_of.values():
        trainable = settings.trainable
        for path, parameter in study.space.items():
            top = path.partition(".")[2].partition(".")[0]
            if top not in trainable.Config.model_fields:
                known = nearest(top, trainable.Config.model_fields)
                yield StudyProblem(("space", path), f"{trainable.name} has no setting `{top}`; {known}")
                continue
            refused = False
            for value in corners(parameter):
                drawn = {**_conditions(study, path), path: value}
                _, problems = resolve_settings(study, trainable, cell.levels, device, drawn=drawn)
                yield from problems
                refused = refused or bool(problems)

            # Bounds that are whole numbers pass as ints. A value between them shows whether the method takes
            # any.
            if isinstance(parameter, FloatRange) and not refused:
                drawn = {**_conditions(study, path), path: _fraction(parameter)}
                if resolve_settings(study, trainable, cell.levels, device, drawn=drawn)[1]:
                    low, high = (round(bound) for bound in parameter.bounds)
                    message = f"{trainable.name} has whole numbers there: write `{{int: [{low}, {high}]}}`"
                    yield StudyProblem(("space", path), message)


def _fraction(parameter: FloatRange) -> float:
    """A value between the bounds that is no whole number."""
    low, high = parameter.bounds
    return low + (high - low) * (3 - 5**0.5) / 2


def _methods(cells: Sequence[PlannedCell]) -> list[AnyTrainable]:
    """Each method of the cells, once."""
    return list({planned.settings.trainable.name: planned.settings.trainable for planned in cells}.values())


def _varied(trainable: AnyTrainable, level_settings: Level) -> set[str]:
    """Settings of a level; beside a method that it names, a preset is where the search starts from."""
    start = level_settings.trainable is not None
    config = {key: value for key, value in level_settings.config.items() if not (start and key == "preset")}
    return level_paths(trainable, level_settings.model_copy(update={"config": config}))


def _conditions(study: Study, path: str) -> dict[str, Scalar]:
    """Conditions under which a parameter is drawn, and those of the parameters that they name."""
    when = dict(study.space[path].when)
    return {key: value for other in when for key, value in _conditions(study, other).items()} | when


def _start_problems(study: Study, search: Search, cells: Sequence[Cell]) -> Iterator[StudyProblem]:
    if len(study.start) > search.points:
        message = f"{len(study.start)} start points do not fit into {search.points} points"
        yield StudyProblem(("search", "points"), message)
    for number, start in enumerate(study.start):
        at: KeyPath = ("start", number)
        given = {} if start == "preset" else start
        for path in (path for path in given if path not in study.space):
            yield StudyProblem(at, f"a start point sets what the space has; {nearest(path, study.space)}")
        if any(path not in study.space for path in given):
            continue
        for cell in cells:
            try:
                start_values(study, cell, given)
            except InputError as error:
                yield StudyProblem(at, str(error))
