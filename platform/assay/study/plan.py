"""The plan: every trial of a study, checked and named before anything is trained.

``plan_study`` turns a :class:`Study` into a :class:`Plan`. Settings are resolved once for each cell and
splits once for each repeat, so that a plan of many thousand trials takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from assay.study.cell_names import cell_name
from assay.study.cells import Cell, Diff, Trial, make_trial
from assay.study.compare import Comparison, format_value, is_below, plan_comparisons
from assay.study.design import design_cells
from assay.study.design_rules import reference_problems
from assay.study.designs import DesignCell
from assay.study.identity import differences
from assay.study.methods import Layer, find_method, layers_of, named_methods
from assay.study.names import counted
from assay.study.plan_rules import nothing_to_decide, twins, unpaired, unused_allowances
from assay.study.points import Point, SearchedCell, planned_trials, point_row, search_hash
from assay.study.published_rules import published_problems
from assay.study.repeats import DataPlan, ManifestSummary, plan_data, search_parts, trials_on
from assay.study.schema import Level, Study
from assay.study.search_rules import search_problems
from assay.study.settings import (
    AnyTrainable,
    Device,
    PlannedCell,
    Settings,
    bundle_paths,
    named_settings,
    resolve_settings,
)
from assay.study.source import KeyPath, StudyProblem, refuse
from assay.study.storage import kept_gigabytes
from trainables.catalogue import find_trainable
from trainables.contract import batch_norm_objection
from trainables.data.spec import DataSpec
from trainables.errors import InputError, nearest
from trainables.evaluation.resolution import Reach

if TYPE_CHECKING:
    from trainables.data.manifest import Manifest

__all__ = ["Cell", "Plan", "Trial", "plan_study"]

_FROZEN = ConfigDict(frozen=True, extra="forbid")
_METADATA = b"assay.plan"


class CellReach(BaseModel, frozen=True):
    """Reach of the cells that have data, size and grid in common."""

    model_config = ConfigDict(extra="forbid")
    cells: tuple[str, ...] = Field(description="Names; of a search, those that are searched.")
    reach: Reach


class Plan(BaseModel):
    """All that a study is going to do."""

    model_config = _FROZEN
    study: Study
    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]  # round-robin over cells, repeat by repeat
    comparisons: tuple[Comparison, ...]
    manifests: dict[str, ManifestSummary]  # by hash
    warnings: tuple[str, ...]
    gigabytes: float | None  # estimate of what is kept; None if the trainable does not count its weights
    device: Device = "cpu"
    searched: tuple[SearchedCell, ...] = ()  # of a search: the cells in which it draws points
    points: tuple[Point, ...] = ()  # of a search: what was drawn so far,
    point_trials: tuple[tuple[str, ...], ...] = ()  # and of each point the ids of its trials
    pending_points: int = 0  # of a search: trials of points that are not drawn yet
    reach: tuple[CellReach, ...] = ()  # of the methods on these masks; empty in a plan without data

    @property
    def trainables(self) -> tuple[str, ...]:
        """Names of the methods, in the order of the cells."""
        cells = (*self.cells, *(searched.cell for searched in self.searched))
        return tuple(dict.fromkeys(cell.trainable for cell in cells))

    @property
    def size(self) -> int:
        """Trials in all, those of points that are not drawn yet among them."""
        return len(self.trials) + self.pending_points

    def __repr__(self) -> str:
        cells = len(self.searched or self.cells)
        return f"<plan of {self.study.study}: {counted(self.size, 'trial')} of {counted(cells, 'cell')}>"

    def __str__(self) -> str:  # pydantic's own is every field of every trial
        return repr(self)

    def with_points(self, points: Sequence[Point]) -> Self:
        """The plan of a search with all points that were drawn: a cell for each, and its trials.

        A point that equals an earlier one of its cell is trained with it. One that was refused has neither.
        """
        bare = self.model_copy(update={"cells": (), "trials": (), "points": tuple(points)})
        grown, ids = bare._with_rows(points, fresh=False)
        return grown.model_copy(update={"point_trials": ids})

    def with_winners(self, replicated: Sequence[Point], *, complete: bool) -> Self:
        """The plan of a search with points and, a cell for each, what is trained on fresh seeds.

        Args:
            replicated: Points that are trained again, in the order of the table.
            complete: Nothing more will be drawn.
        """
        grown, _ = self._with_rows(replicated, fresh=True)
        return grown.model_copy(update={"pending_points": 0}) if complete else grown

    def points_of(self, searched: SearchedCell) -> list[tuple[Point, tuple[str, ...]]]:
        """The points drawn in a searched cell, each with the ids of the trials that evaluate it."""
        drawn = zip(self.points, self.point_trials, strict=True)
        return [(point, ids) for point, ids in drawn if point.cell == searched.cell.name]

    def _with_rows(self, points: Sequence[Point], *, fresh: bool) -> tuple[Self, tuple[tuple[str, ...], ...]]:
        """The plan with further rows, and the ids of the trials of each."""
        by_name = {searched.cell.name: searched for searched in self.searched}
        cells: dict[tuple[str, ...], Cell] = {}  # by the cell in which a point was drawn, and its trials
        trials = {trial.id: trial for trial in self.trials}
        of_points: list[tuple[str, ...]] = []
        for point in points:
            row = point_row(by_name[point.cell], point, fresh=fresh) if point.cell in by_name else None
            of_points.append(() if row is None else tuple(trial.id for trial in row.trials))
            if row is None:
                continue
            key = (point.cell, *of_points[-1])
            if key in cells:
                continue
            cells[key] = row.cell
            for trial in row.trials:  # several searches may start from the same point
                trials.setdefault(trial.id, trial)
        planned = planned_trials(self.study, self.searched, self.points)
        grown = self.model_copy(
            update={
                "cells": (*self.cells, *cells.values()),
                "trials": tuple(trials.values()),
                "pending_points": max(0, planned - len(trials)),
            }
        )
        return grown, tuple(of_points)

    def to_table(self) -> pa.Table:
        """One row for each trial; what trials share travels in the schema's metadata.

        The column ``trial`` holds all of a trial as JSON, so that a worker reads its row and nothing else.
        """
        head = {
            **self.model_dump(mode="json", exclude={"study", "trials"}),
            "study": self.study.model_dump(mode="json", exclude_unset=True),
        }
        trials = self.trials
        columns = {
            "id": pa.array([t.id for t in trials], pa.string()),
            "cell": pa.array([t.cell for t in trials], pa.string()),
            "seed": pa.array([t.seed for t in trials], pa.int64()),
            "fold": pa.array([t.fold for t in trials], pa.int64()),
            "supervision": pa.array([str(t.supervision) for t in trials], pa.string()),
            "manifest": pa.array([t.manifest for t in trials], pa.string()),
            "split": pa.array([t.split for t in trials], pa.string()),
            "trial": pa.array([t.model_dump_json() for t in trials], pa.string()),
        }
        return pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(head)})

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """The plan that :meth:`to_table` wrote."""
        head = json.loads((table.schema.metadata or {})[_METADATA])
        plan = cls.model_validate({**head, "trials": ()})
        cells = {cell.name: cell for cell in plan.cells}
        rows = table.select(["id", "cell", "seed", "fold", "manifest", "split"]).to_pylist()
        trials = tuple(make_trial(cells[row.pop("cell")], **row) for row in rows)
        return plan.model_copy(update={"trials": trials})


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
    source = study.source
    refuse(source, [*reference_problems(study), *_metric_problems(study)])
    combinations = design_cells(study)
    refuse(source, published_problems(study, [cell.levels for cell in combinations]))
    cells = _plan_cells(study, combinations, device, find)
    settings = {planned.cell.name: planned.settings for planned in cells}
    comparisons, problems = plan_comparisons(study, combinations, settings)
    refuse(source, [*problems, *nothing_to_decide(study, comparisons)])
    refuse(source, search_problems(study, cells, device))
    data = plan_data(study, list(settings.values()), open_manifest)
    trials = tuple(_trials(cells, data))
    refuse(source, twins(trials))
    refuse(source, unpaired(comparisons, dict(zip(settings, data.repeats, strict=True))))
    searched = tuple(_searched(study, cells, data)) if study.search is not None else ()
    if searched:  # what is trained in the cells is drawn while the search runs
        trials = ()
    planned = planned_trials(study, searched)
    return Plan(
        study=study,
        cells=tuple(planned.cell for planned in cells),
        trials=trials,
        comparisons=tuple(comparisons),
        manifests=data.manifests,
        warnings=(*data.warnings, *unused_allowances(study, comparisons)),
        gigabytes=kept_gigabytes(study, list(settings.values()), len(trials) or planned),
        device=device,
        searched=searched,
        pending_points=planned,
    )


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
    if workers > 1:
        norms = settings.trainable.batch_norms(settings.config)
        messages += [batch_norm_objection(setting, workers) for setting in norms]
    return [StudyProblem(("resources", "workers"), message) for message in messages]


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
        if name not in self.methods:
            try:
                self.methods[name] = find_method(self.study, name, self.find)
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
    own_paths = set() if override is None else bundle_paths(settings.trainable, override)
    flat = settings.flat if own_paths else {}
    texts = [f"`{path}` {format_value(value)}" for path, value in flat.items() if is_below(path, own_paths)]
    return [f"The row has settings of its own: {', '.join(texts)}."] if texts else []


def _trials(cells: Sequence[PlannedCell], data: DataPlan) -> Iterator[Trial]:
    """Round-robin over cells, repeat by repeat: a study stopped early has the same repeats in all cells."""
    of_cells = (
        trials_on(planned.cell, planned.settings.config.identity(), manifest, repeats)
        for planned, manifest, repeats in zip(cells, data.hashes, data.repeats, strict=True)
    )
    for of_repeat in zip_longest(*of_cells):
        yield from filter(None, of_repeat)


def _searched(study: Study, cells: Sequence[PlannedCell], data: DataPlan) -> Iterator[SearchedCell]:
    for planned, manifest, repeats in zip(cells, data.hashes, data.repeats, strict=True):
        for part in search_parts(study, planned.cell.data, repeats):
            name = ", ".join(filter(None, (planned.cell.name, part.name)))
            yield SearchedCell(
                cell=planned.cell.model_copy(update={"name": name}),
                manifest=manifest,
                repeats=part.repeats,
                fresh=part.fresh,
                search=search_hash(study, planned.cell, part),
                part=part.name,
            )
