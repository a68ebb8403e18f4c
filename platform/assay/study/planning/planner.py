"""Planning: every trial of a study, checked and named before anything is trained.

``plan_study`` turns a :class:`Study` into a :class:`Plan`. Settings are resolved once for each cell and
splits once for each repeat, so that a plan of many thousand trials takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from assay.study.design import design_cells
from assay.study.design_rules import reference_problems
from assay.study.designs import DesignCell
from assay.study.file.schema import Level, Study
from assay.study.file.source import KeyPath, StudyProblem, refuse
from assay.study.planning.cell_names import cell_name
from assay.study.planning.cells import Cell, Diff, Trial
from assay.study.planning.compare import format_value, is_below, plan_comparisons
from assay.study.planning.identity import differences
from assay.study.planning.plan import Plan
from assay.study.planning.plan_rules import (
    nothing_to_decide,
    repeated_data_sets,
    shown_no_defects,
    twins,
    unpaired,
    unused_allowances,
)
from assay.study.planning.published_rules import published_problems
from assay.study.planning.repeats import DataPlan, plan_data, trials_on
from assay.study.planning.storage import kept_gigabytes
from assay.study.search.points import SearchedCell, planned_trials, search_hash
from assay.study.search.search_plan import SearchPlan
from assay.study.search.search_rules import search_problems
from assay.study.search.spec import Search
from assay.study.settings.methods import Layer, find_method, layers_of, named_methods
from assay.study.settings.programs import ProgramError
from assay.study.settings.settings import (
    AnyTrainable,
    Device,
    PlannedCell,
    Settings,
    level_paths,
    named_settings,
    resolve_settings,
)
from trainables.contract import batch_norm_objection
from trainables.data.spec import DataSpec
from trainables.errors import InputError, nearest
from trainables.plugins.catalogue import find_trainable
from trainables.program.spec import ProgramConfig

if TYPE_CHECKING:
    from trainables.data.manifest import Manifest

__all__ = ["plan_study"]


def plan_study(
    study: Study,
    open_manifest: Callable[[DataSpec], Manifest] | None,
    device: Device,
    *,
    find: Callable[[str], AnyTrainable] | None = None,
) -> Plan:
    """Check a study completely and list its trials.

    Args:
        study: The question.
        open_manifest: Opens the data that a spec names; None plans without data. Ids then depend on the
            data block instead of the data, so they are not the ids that ``run`` will use.
        device: What ``precision: auto`` and the like are decided for.
        find: Trainable by name; default: the installed ones.

    Raises:
        InputError: Naming everything that is wrong, with line and column of the study file.
    """
    # Each step refuses before the next one relies on it: names first, then combinations, the settings of each
    # cell, comparisons, and the data at last.
    source = study.source
    refuse(source, [*reference_problems(study), *_metric_problems(study)])
    combinations = design_cells(study)
    refuse(source, published_problems(study, [cell.levels for cell in combinations]))
    cells = _plan_cells(study, combinations, device, find)
    settings = {planned.cell.name: planned.settings for planned in cells}
    comparisons, problems = plan_comparisons(study, combinations, settings)
    refuse(source, [*problems, *nothing_to_decide(study, comparisons)])
    refuse(source, search_problems(study, cells, device))

    # The data are opened only now, since that may take minutes: every mistake that shows in the text alone
    # was refused before.
    data = plan_data(study, list(settings.values()), open_manifest)
    trials = tuple(_trials(cells, data))
    refuse(source, twins(trials))
    refuse(source, unpaired(comparisons, dict(zip(settings, data.repeats, strict=True))))
    refuse(source, repeated_data_sets(comparisons, [planned.cell for planned in cells], data.hashes))
    kept = [planned.settings for planned in cells]
    shared: dict[str, Any] = {
        "study": study,
        "cells": tuple(planned.cell for planned in cells),
        "comparisons": tuple(comparisons),
        "manifests": data.manifests,
        "warnings": (
            *data.warnings,
            *unused_allowances(study, comparisons),
            *shown_no_defects([planned.cell for planned in cells]),
        ),
        "device": device,
    }
    if study.search is None:
        return Plan(**shared, trials=trials, gigabytes=kept_gigabytes(study, kept, len(trials)))

    # What is trained in the cells of a search is drawn while it runs.
    searched = tuple(_searched(study, study.search, cells, data))
    pending = planned_trials(study, study.search, searched)
    gigabytes = kept_gigabytes(study, kept, pending)
    return SearchPlan(**shared, trials=(), searched=searched, pending_points=pending, gigabytes=gigabytes)


def _metric_problems(study: Study) -> Iterator[StudyProblem]:
    from trainables.evaluation.metrics import METRICS

    names: dict[KeyPath, str] = {("metrics", "primary"): study.metrics.primary}
    names |= {("metrics", "report", i): name for i, name in enumerate(study.metrics.report)}
    for path, name in names.items():
        if name not in METRICS:
            yield StudyProblem(path, f"unknown metric `{name}`; {nearest(name, METRICS)}")
    primary, resolve = METRICS.get(study.metrics.primary), study.resolve
    if primary is not None and resolve is not None and resolve >= primary.highest:
        message = (
            f"{primary.name} is a share, and its differences are below 1, found {resolve:g}: 5 % are 0.05"
        )
        yield StudyProblem(("resolve",), message)


def _plan_cells(
    study: Study,
    combinations: Sequence[DesignCell],
    device: Device,
    find: Callable[[str], AnyTrainable] | None,
) -> list[PlannedCell]:
    methods = _Methods(study, find)
    named = study.trainable is not None

    # A cell is shown by what it changes of the base. A study that names no method at its top has no base.
    base = resolve_settings(study, methods.of({}), {}, device)[0] if named else None
    problems: list[StudyProblem] = []
    planned: list[PlannedCell] = []
    for levels, override, at in combinations:
        layer = (at, override) if override is not None else None
        method = methods.of(levels, layer)
        settings, of_cell = resolve_settings(study, method, levels, device, override=layer)
        problems += of_cell
        if settings is None:
            continue
        problems += _workers_problems(settings, study.resources.workers)
        problems += _condition_problems(settings, study)
        trainable = settings.trainable
        cell = Cell(
            name=cell_name(study.factors, levels),
            levels=levels,
            trainable=trainable.name,
            revision=trainable.revision,
            config=settings.config.model_dump(mode="json"),
            supervision=settings.supervision,
            data=settings.data,
            diff=_difference(study, base, settings),
            footnotes=(*trainable.footnotes(settings.config), *_own_settings(settings, override)),
        )
        planned.append(PlannedCell(cell, settings))
    refuse(study.source, problems)
    return planned


def _workers_problems(settings: Settings, workers: int) -> list[StudyProblem]:
    """Sentences against so many workers; fewer, where it may do with them, are no other model."""
    messages: list[str] = []
    batch = getattr(settings.config, "batch_size", None)
    if isinstance(batch, int) and batch < workers:
        messages.append(f"a batch has an image for every worker: batch_size {batch}, {workers} workers")
    if workers > 1 and isinstance(settings.config, ProgramConfig):
        messages.append(f"a program is trained by one worker, found workers: {workers}. Set workers: 1")
    elif workers > 1:
        norms = settings.trainable.batch_norms(settings.config)
        messages += [batch_norm_objection(setting, workers) for setting in norms]
    return [StudyProblem(("resources", "workers"), message) for message in messages]


def _condition_problems(settings: Settings, study: Study) -> Iterator[StudyProblem]:
    """What a cell cannot be tested under."""
    if study.conditions and not settings.trainable.trained_here:
        message = (
            f"conditions are put to a trained model, and `{settings.trainable.name}` is trained by a loop of "
            "your own: leave `test_under` out, and predict changed images as a study of its own"
        )
        yield StudyProblem(("test_under",), message)
    elif settings.trainable.gives_stored(settings.config) and any(
        c.kind != "where" for c in study.conditions
    ):
        message = (
            f"changes are defined on 8-bit images of `image_size`, and `{settings.trainable.name}` is given "
            "images as they are stored: leave all but `where` out"
        )
        yield StudyProblem(("test_under",), message)
    side = min(settings.config.image_size)
    for condition in study.conditions:
        if condition.kind == "shift" and condition.amount >= side:
            message = f"a shift stays in the picture, found {condition.name} of images of {side} px"
            yield StudyProblem(("test_under", "shift"), message)


class _Methods:
    """The methods that a study names, each looked up once."""

    def __init__(self, study: Study, find: Callable[[str], AnyTrainable] | None) -> None:
        self.study, self.find = study, find or find_trainable
        self.methods: dict[str, AnyTrainable] = {}

    def of(self, levels: Mapping[str, str], override: Layer | None = None) -> AnyTrainable:
        """The method of a cell.

        Raises:
            InputError: If there is none of that name, or the cell has none.
        """
        named = named_methods(layers_of(self.study, levels, override))
        if not named:
            name = cell_name(self.study.factors, levels)
            message = (
                f"the cell {name} has no method: name it in a level of every cell, or write "
                "`trainable` at the top"
            )
            refuse(self.study.source, [StudyProblem(("design",), message)])
        name, at = named[-1]

        # Each method is looked up once for all cells, and a mistake is told at the line that names it.
        if name not in self.methods:
            try:
                self.methods[name] = find_method(self.study, name, self.find)
            except ProgramError as error:
                inline = [StudyProblem((*at, *each.path), each.message) for each in error.problems]
                refuse(self.study.source, inline)
            except InputError as error:
                refuse(self.study.source, [StudyProblem(at, str(error))])
        return self.methods[name]


def _difference(study: Study, base: Settings | None, settings: Settings) -> Diff:
    """Settings of a cell that differ from the base; of another method's settings, those that are named."""
    if base is None and study.trainable is not None:
        before, after = {}, settings.flat  # a base that needs a level to be complete: all settings differ
    elif base is None:
        before, after = named_settings(study), settings.as_written
    elif base.trainable.name == settings.trainable.name:
        before, after = base.flat, settings.flat
    else:
        before, after = base.as_written, settings.as_written
    return differences(before, after)


def _own_settings(settings: Settings, override: Level | None) -> list[str]:
    """Footnote with the settings that a row has on top of its levels."""
    own_paths = set() if override is None else level_paths(settings.trainable, override)
    flat = settings.flat if own_paths else {}
    texts = [f"`{path}` {format_value(value)}" for path, value in flat.items() if is_below(path, own_paths)]
    return [f"The row has settings of its own: {', '.join(texts)}."] if texts else []


def _trials(cells: Sequence[PlannedCell], data: DataPlan) -> Iterator[Trial]:
    """List trials repeat by repeat over all cells: a study that stops early has the same repeats in each."""
    of_cells = (
        trials_on(planned.cell, planned.settings.config.identity(), manifest, repeats)
        for planned, manifest, repeats in zip(cells, data.hashes, data.repeats, strict=True)
    )
    for of_repeat in zip_longest(*of_cells):
        yield from filter(None, of_repeat)


def _searched(
    study: Study, search: Search, cells: Sequence[PlannedCell], data: DataPlan
) -> Iterator[SearchedCell]:
    """The searches of each cell, each with its repeats: those that evaluate points, and those of winners."""
    for planned, manifest, repeats in zip(cells, data.hashes, data.repeats, strict=True):
        evaluated = [repeat for repeat in repeats if repeat.seed in study.repeats.seeds]
        fresh = [repeat for repeat in repeats if repeat.seed not in study.repeats.seeds]

        # A nested search is a search for each fold, or for each split where seeds draw their own. None of
        # them sees the images on which its winner is tested.
        own_splits = planned.cell.data.splits == "per_seed"
        places = dict.fromkeys(repeat.seed if own_splits else repeat.fold for repeat in evaluated)
        for place in places if search.nested else [None]:
            part = "" if place is None else f"{'split' if own_splits else 'fold'} {place}"
            name = ", ".join(filter(None, (planned.cell.name, part)))
            yield SearchedCell(
                cell=planned.cell.model_copy(update={"name": name}),
                manifest=manifest,
                repeats=tuple(r for r in evaluated if place in (None, r.seed if own_splits else r.fold)),
                fresh=tuple(repeat for repeat in fresh if place in (None, repeat.fold)),
                search=search_hash(study, search, planned.cell, part),
                part=part,
            )
