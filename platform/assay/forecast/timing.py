"""Time one trial of each shape of a study, for its forecast.

It trains for a few seconds (:func:`trainables.runtime.forecast.measure`); where trials of the shape have
finished, their own times are taken instead.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from assay.forecast.forecast import Forecast, Shape, StageCost
from assay.storage.record import Record
from assay.storage.stage_store import made_stages
from assay.storage.store import Store
from assay.study import Plan, Trial
from assay.study.planning.identity import canonical_json
from assay.study.planning.stage_graph import stage_graph
from trainables.data import Manifest, Split, load_training, make_split, open_images, open_manifest
from trainables.data.stored import StoredImages
from trainables.data.tiles import TileShape
from trainables.plugins.catalogue import find_trainable
from trainables.runtime.device import forget_peak_memory, keep_freed_memory, peak_memory_mb, prepare_gpu
from trainables.runtime.forecast import measure

__all__ = ["Machine", "evaluated_inputs", "forecast_study"]


@dataclass(frozen=True)
class Machine:
    """Place where the study is to run."""

    data_root: Path | None
    cache: Path
    device: torch.device
    at_once: int


@dataclass
class _Group:
    """Trials of one shape."""

    example: Trial
    cells: dict[str, None] = field(default_factory=dict[str, None])
    ids: list[str] = field(default_factory=list[str])
    pending: int = 0  # trials of points that are not drawn yet


def forecast_study(plan: Plan, store: Store, machine: Machine, say: Callable[[str], None]) -> Forecast:
    """Time one trial of each shape that has trials left.

    Args:
        plan: With its data opened; of a search, with the points drawn so far.
        store: Where trials that have ended left their records.
        machine: Data, device, and how many trials it holds at once.
        say: Is told what is being timed.

    Raises:
        InputError, Diverged: If a trial cannot be trained; better now than tonight.
    """
    groups = _groups(plan)
    records = store.records(trial.id for trial in plan.trials)
    need = plan.study.resources
    torch.set_num_threads(need.cpus)
    keep_freed_memory()
    shapes: list[Shape] = []
    timed: dict[str, _Cost] = {}  # by id of a trial
    one_thread: float | None = None
    for number, group in enumerate(groups, start=1):
        ended = [records[i] for i in group.ids if i in records]
        missing = len(group.ids) - len(ended) + group.pending
        spans = [record for record in ended if record.status == "finished"]

        # Trials of this shape that have finished say best what one takes. Where there is none, the first
        # steps of one are timed here.
        if spans:
            cost = _Cost(
                statistics.fmean(record.seconds for record in spans),
                max(record.environment.peak_memory_mb or 0.0 for record in spans),
                len(spans),
                _mean_stages(spans),
            )
        elif missing:
            say(f"timing the first steps of {group.example.cell} (shape {number} of {len(groups)})")
            cost = _time(group.example, machine, need.workers)

            # More trials at once with a thread each are often done sooner. The same steps are timed so, once,
            # that the plan can say it.
            if one_thread is None and need.cpus > 1 and machine.device.type == "cpu":
                say("timing the same steps with one thread")
                torch.set_num_threads(1)
                one_thread = _time(group.example, machine, need.workers).computing / cost.computing
                torch.set_num_threads(need.cpus)
        else:
            continue
        timed |= dict.fromkeys(group.ids, cost)
        shapes.append(
            Shape(
                cells=tuple(group.cells),
                trials=len(group.ids) + group.pending,
                missing=missing,
                seconds=cost.seconds,
                memory_mb=cost.memory_mb,
                source="finished trials" if spans else "first steps",
                seen=cost.seen,
                # A point that is not drawn yet may share its stages with none.
                stage_seconds=0.0 if group.pending else sum(cost.stages.values()),
            )
        )
    missing_trials = [trial for trial in plan.trials if trial.id not in records]
    return Forecast(
        shapes=tuple(shapes),
        at_once=machine.at_once,
        stages=_stage_costs(missing_trials, store, timed),
        untimed=tuple(dict.fromkeys(cost.untimed for cost in timed.values() if cost.untimed)),
        one_thread=one_thread,
        content_hash=plan.study.content_hash,
    )


def _mean_stages(records: Sequence[Record]) -> dict[str, float]:
    """Mean seconds of each stage of finished trials, whoever made it."""
    seconds: dict[str, list[float]] = {}
    for stage in (stage for record in records for stage in record.stages):
        seconds.setdefault(stage.name, []).append(stage.seconds)
    return {name: statistics.fmean(spans) for name, spans in seconds.items()}


def _stage_costs(trials: Sequence[Trial], store: Store, timed: Mapping[str, _Cost]) -> tuple[StageCost, ...]:
    """Stages that are to be made, each once, by method and name."""
    graph = stage_graph(trials)
    made = made_stages(store, graph)
    seconds: dict[tuple[str, str], list[float]] = {}
    for key, node in graph.items():
        trial = node.trials[0]
        of_stage = timed[trial.id].stages.get(node.name)
        if key not in made and of_stage is not None:
            seconds.setdefault((trial.trainable, node.name), []).append(of_stage)
    return tuple(
        StageCost(name=name, missing=len(spans), seconds=statistics.fmean(spans))
        for (_, name), spans in seconds.items()
    )


class _Cost(NamedTuple):
    seconds: float  # with stages
    memory_mb: float
    seen: int
    stages: Mapping[str, float] = {}
    untimed: str = ""
    loading: float = 0.0  # of the seconds, those that read images: once they lie in the cache they are few

    @property
    def computing(self) -> float:
        return self.seconds - self.loading


def _groups(plan: Plan) -> list[_Group]:
    groups: dict[str, _Group] = {}

    def group(trial: Trial, cell: str) -> _Group:
        of_shape = groups.setdefault(_shape_key(trial), _Group(trial))
        of_shape.cells.setdefault(cell)
        return of_shape

    for trial in plan.trials:
        group(trial, trial.cell).ids.append(trial.id)
    for trial, number in plan.pending():
        group(trial, trial.cell).pending += number
    return list(groups.values())


def _shape_key(trial: Trial) -> str:
    """Key, equal for trials of one cost: a learning rate costs nothing, a size or switch or count may."""
    config = {name: value for name, value in trial.config.items() if not isinstance(value, float)}
    parts: Mapping[str, Any] = {
        "trainable": trial.trainable,
        "config": config,
        "supervision": str(trial.supervision),
        "data": trial.data.model_dump(mode="json"),
    }
    return canonical_json(parts)


def _time(trial: Trial, machine: Machine, workers: int) -> _Cost:
    trainable = find_trainable(trial.trainable)
    config = trainable.Config.model_validate(trial.config)
    prepare_gpu(machine.device, 1.0)
    forget_peak_memory(machine.device)
    start = time.perf_counter()
    manifest = open_manifest(trial.data, machine.data_root, machine.cache)
    split = make_split(manifest, trial.data, trial.supervision, trial.seed, trial.fold)
    images = open_images(manifest, config.image_size, config.channels, machine.cache, tiles=split.tiles)
    stored = StoredImages(manifest, config.channels) if trainable.gives_stored(config) else None
    data = load_training(
        manifest, split, trial.supervision, images, by_class=trainable.reads_classes, stored=stored
    )
    loading = time.perf_counter() - start
    cost = measure(trainable, config, data, device=machine.device, seed=trial.seed, fold=trial.fold)
    evaluation = evaluated_inputs(manifest, split, config.image_size) * cost.image_seconds

    # Workers divide the training. Loading is done by each of them, and evaluation by one alone, so that both
    # take as long as with one worker.
    seconds = loading + (cost.train_seconds + sum(cost.stages.values())) / workers + evaluation
    return _Cost(seconds, peak_memory_mb(machine.device), cost.timed, cost.stages, cost.untimed, loading)


def evaluated_inputs(manifest: Manifest, split: Split, image_size: tuple[int, int]) -> int:
    """Number of images, or of tiles, that a network sees in the evaluation of all parts but training."""
    evaluated = (*split.validation, *split.calibration, *split.test)
    if split.tiles is None:
        return len(evaluated)
    shape = TileShape(split.tiles, *image_size)
    return sum(shape.count(row.height, row.width) for row in map(manifest.by_sample.__getitem__, evaluated))
