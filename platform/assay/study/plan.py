"""The plan: every trial of a study, checked and named before anything is trained.

``plan_study`` turns a :class:`Study` into a :class:`Plan`. Settings are resolved once for each cell and
splits once for each repeat, so that a plan of many thousand trials takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from assay.study.compare import CompareCells, Comparison, plan_comparisons
from assay.study.design import cell_name, design_cells, reference_problems
from assay.study.identity import CellIdentity, canonical_json
from assay.study.repeats import UNKNOWN, DataPlan, ManifestSummary, plan_data
from assay.study.schema import Study
from assay.study.settings import AnyTrainable, Device, Settings, resolve_settings
from assay.study.source import Path, Problem, nearest, refuse
from assay.study.storage import kept_gigabytes
from trainables.data.spec import DataSpec, Supervision
from trainables.errors import InputError

if TYPE_CHECKING:
    from trainables.data.manifest import Manifest

__all__ = ["Cell", "Plan", "Trial", "plan_study"]

_FROZEN = ConfigDict(frozen=True, extra="forbid")
_METADATA = b"assay.plan"
Diff = dict[str, tuple[Any, Any]]  # path → (value in the base, value here)


class Trial(BaseModel):
    """One cell at one repeat: what is trained once."""

    model_config = _FROZEN
    id: str
    cell: str
    levels: dict[str, str]
    seed: int
    fold: int | None
    trainable: str  # its name in the catalogue
    revision: int
    config: dict[str, Any]  # every field of the trainable's Config, resolved
    supervision: Supervision
    data: DataSpec
    manifest: str  # hash, or "unknown" in a plan without data
    split: str  # hash, naming the mask subset
    diff: Diff


class Cell(BaseModel):
    """One combination of levels: a row of the ablation table."""

    model_config = _FROZEN
    name: str
    levels: dict[str, str]
    config: dict[str, Any]
    supervision: Supervision
    data: DataSpec
    diff: Diff
    footnotes: tuple[str, ...] = ()


class Plan(BaseModel):
    """All that a study is going to do."""

    model_config = _FROZEN
    study: Study
    trainable: str  # its name in the catalogue
    revision: int
    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]  # round-robin over cells, repeat by repeat
    comparisons: tuple[Comparison, ...]
    manifests: dict[str, ManifestSummary]  # by hash
    warnings: tuple[str, ...]
    gigabytes: float | None  # estimate of what is kept; None if the trainable does not count its weights

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
        plan = cls.model_validate({**json.loads((table.schema.metadata or {})[_METADATA]), "trials": ()})
        cells = {cell.name: cell for cell in plan.cells}
        rows = table.select(["id", "cell", "seed", "fold", "manifest", "split"]).to_pylist()
        trials = tuple(
            _trial(cells[row.pop("cell")], trainable=plan.trainable, revision=plan.revision, **row)
            for row in rows
        )
        return plan.model_copy(update={"trials": trials})


def _trial(
    cell: Cell,
    *,
    id: str,
    trainable: str,
    revision: int,
    seed: int,
    fold: int | None,
    manifest: str,
    split: str,
) -> Trial:
    """A repeat of a cell. Every part was checked with the cell; again would cost more than all the rest."""
    return Trial.model_construct(
        id=id,
        cell=cell.name,
        levels=cell.levels,
        seed=seed,
        fold=fold,
        trainable=trainable,
        revision=revision,
        config=cell.config,
        supervision=cell.supervision,
        data=cell.data,
        manifest=manifest,
        split=split,
        diff=cell.diff,
    )


class _PlannedCell(NamedTuple):
    cell: Cell
    settings: Settings


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
    refuse(source, [*_not_yet(study), *reference_problems(study), *_unknown_metrics(study)])
    trainable = _trainable(study, find)
    combinations, notes = design_cells(study)
    cells = _plan_cells(study, trainable, combinations, device)
    flat = {planned.cell.name: planned.settings.as_dict() for planned in cells}
    comparisons, problems = plan_comparisons(study, trainable, CompareCells(combinations, flat))
    refuse(source, problems)
    settings = [planned.settings for planned in cells]
    data = plan_data(study, trainable, settings, open_manifest)
    trials = tuple(_trials(trainable, cells, data))
    refuse(source, _twins(trials))
    return Plan(
        study=study,
        trainable=trainable.name,
        revision=trainable.revision,
        cells=tuple(planned.cell for planned in cells),
        trials=trials,
        comparisons=tuple(comparisons),
        manifests=data.manifests,
        warnings=(*notes, *data.warnings, *_unused_allowances(study, comparisons)),
        gigabytes=kept_gigabytes(study, trainable, settings, len(trials)),
    )


def _trainable(study: Study, find: Callable[[str], AnyTrainable] | None) -> AnyTrainable:
    from trainables.catalogue import find_trainable

    try:
        return (find or find_trainable)(study.trainable)
    except InputError as error:
        refuse(study.source, [Problem(("trainable",), str(error))])
        raise


def _not_yet(study: Study) -> list[Problem]:
    parts = {"search": study.search, "space": study.space, "start": study.start, "replicate": study.replicate}
    message = (
        "searches come in the next version, this one trains designs: remove search, space, start, replicate"
    )
    return [Problem((key,), message) for key, value in parts.items() if value][:1]


def _unknown_metrics(study: Study) -> list[Problem]:
    from trainables.metrics import METRICS

    asked: dict[Path, str] = {("metrics", "primary"): study.metrics.primary}
    asked |= {("metrics", "report", i): name for i, name in enumerate(study.metrics.report)}
    return [
        Problem(path, f"unknown metric `{name}`; {nearest(name, METRICS)}")
        for path, name in asked.items()
        if name not in METRICS
    ]


def _plan_cells(
    study: Study, trainable: AnyTrainable, combinations: Sequence[Mapping[str, str]], device: Device
) -> list[_PlannedCell]:
    problems: list[Problem] = []
    base, _ = resolve_settings(study, trainable, {}, device)
    planned: list[_PlannedCell] = []
    same: dict[str, str] = {}
    for levels in combinations:
        settings, found = resolve_settings(study, trainable, levels, device)
        problems += found
        if settings is None:
            continue
        batch = getattr(settings.config, "batch_size", None)
        if isinstance(batch, int) and batch < study.resources.workers:
            workers = study.resources.workers
            message = f"a batch has an image for every worker: batch_size {batch}, {workers} workers"
            problems.append(Problem(("resources", "workers"), message))
        name, flat = cell_name(levels), settings.as_dict()
        twin = same.setdefault(canonical_json(flat), name)
        if twin != name:
            message = (
                f"the cells {twin} and {name} have the same settings: their levels differ in name only. "
                "Remove one of them, or give its level a setting of its own"
            )
            problems.append(Problem(("design",), message))
        # A base that needs a level to be complete cannot be compared with: then all settings are the diff.
        before = base.as_dict() if base else {}
        cell = Cell(
            name=name,
            levels=dict(levels),
            config=settings.config.model_dump(mode="json"),
            supervision=settings.supervision,
            data=settings.data,
            diff={
                p: (before.get(p), flat.get(p)) for p in {**before, **flat} if before.get(p) != flat.get(p)
            },
            footnotes=tuple(trainable.footnotes(settings.config)),
        )
        planned.append(_PlannedCell(cell, settings))
    refuse(study.source, problems)
    return planned


def _trials(trainable: AnyTrainable, cells: Sequence[_PlannedCell], data: DataPlan) -> Iterator[Trial]:
    """Round-robin over cells, repeat by repeat: a study stopped early has the same repeats in all cells."""
    writers = [
        CellIdentity(
            trainable=trainable.name,
            revision=trainable.revision,
            config=planned.settings.config.identity(),
            manifest=manifest,
            supervision=planned.cell.supervision.model_dump(mode="json"),
        )
        for planned, manifest in zip(cells, data.hashes, strict=True)
    ]
    for index in range(max(map(len, data.repeats), default=0)):
        for planned, writer, manifest, repeats in zip(cells, writers, data.hashes, data.repeats, strict=True):
            if index >= len(repeats):
                continue
            repeat = repeats[index]
            yield _trial(
                planned.cell,
                id=writer.trial_id(split=repeat.split, seed=repeat.seed, fold=repeat.fold),
                trainable=trainable.name,
                revision=trainable.revision,
                seed=repeat.seed,
                fold=repeat.fold,
                manifest=manifest,
                split=repeat.split if manifest != UNKNOWN else UNKNOWN,
            )


def _twins(trials: Sequence[Trial]) -> list[Problem]:
    """Trials of two cells that are one and the same: other data settings, equal images and split."""
    first: dict[str, Trial] = {}
    for trial in trials:
        other = first.setdefault(trial.id, trial)
        if other is not trial:
            where = f"seed {trial.seed}" if trial.fold is None else f"seed {trial.seed}, fold {trial.fold}"
            message = (
                f"the cells {other.cell} and {trial.cell} are the same training at {where}: their data "
                "settings differ and lead to the same images and split. Remove one of them"
            )
            return [Problem(("design",), message)]
    return []


def _unused_allowances(study: Study, comparisons: Sequence[Comparison]) -> list[str]:
    used = {path for comparison in comparisons for path in comparison.allowed}
    return [
        f"allow.{path} is not needed: no compared cells differ in it"
        for path in study.allow
        if path not in used
    ]
