"""The functions of ``import assay``: plan and run a study, and train a single trial in this process.

The command line does the same through the same functions. As there, ``data`` and ``cache`` that are left out
come from the environment (``ASSAY_DATA``, ``ASSAY_CACHE``).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assay.api.opened_storage import OpenedStorage, OpenedStudy
from assay.api.planning import read_plan
from assay.api.running import drop_models
from assay.api.running import train as train_study
from assay.faults import RayLost
from assay.study.file.from_objects import StudyLike
from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.engine.worker.single_trial import TrainedTrial
    from assay.study import Plan, Trial
    from trainables.data.samples import TrainingData

__all__ = ["data", "plan", "run", "train"]

_DEFAULT_CACHE = "~/.cache/assay"


def plan(
    study: StudyLike,
    *,
    data: str | Path | None = None,
    cache: str | Path | None = None,
    with_data: bool = True,
    say: Callable[[str], None] | None = None,
) -> Plan:
    """List every trial of a study with its id, as `assay plan` does. Nothing trains.

    Args:
        study: A study file's path, the name of a study that comes with assay, a mapping with the keys of a
            study file, or a ``Study`` made of objects. All four mean the same trials.
        data: Folder below which the data sets lie; not needed for the synthetic reader.
        cache: Folder for decoded images.
        with_data: False: do not open the data. Ids are then not those that a run will use.
        say: Is called with a line on what is done, such as ``print``.

    Raises:
        InputError: If the study or the data break a rule.

    Example:
        >>> plan = assay.plan("tiny.yaml")  # two cells, two seeds
        >>> sorted((trial.seed, trial.cell) for trial in plan.trials)
        [(0, 'all off'), (0, 'stop'), (1, 'all off'), (1, 'stop')]
    """
    root, kept = _folders(data, cache)
    return read_plan(study, data=root, cache=kept, with_data=with_data, say=say or _silent)


def run(
    study: StudyLike,
    *,
    storage: str | Path = "./assay-storage",
    data: str | Path | None = None,
    cache: str | Path | None = None,
    local: bool = False,
    processes: int | None = None,
    cpus: int | None = None,
    retry_failed: bool = False,
    hours: float | None = None,
    asked_by: str = "",
    say: Callable[[str], None] | None = None,
) -> OpenedStudy:
    """Train every trial that has no record yet, as `assay run` does; returns when nothing is missing.

    Run it again at any time, also after an interrupt or a crash: it trains what is missing and nothing else.
    MLflow is not written to; `assay mlflow --sync` does that afterwards. What `assay run` prints as a warning
    is a ``UserWarning``.

    Args:
        study: As :func:`plan` takes it.
        storage: Where results lie: a folder, or a URI that pyarrow knows.
        data: Folder below which the data sets lie; not needed for the synthetic reader.
        cache: Folder for decoded images.
        local: Train on this machine without Ray. Otherwise Ray does: a cluster that is there, or one started.
        processes: With ``local``: trainings at once; 0: in this process, where a debugger reaches them.
        cpus: Cores that ``local``, or a Ray started here, may use; None: all.
        retry_failed: Try trials again that failed for good.
        hours: As ``budget.hours`` of the study; the smaller of both holds. A search has none.
        asked_by: Who asks, in the register of what was tried; empty: a person at the command line.
        say: Is called with a line on what is done, such as ``print``.

    Raises:
        InputError: If study, data or options break a rule, or another run holds the study.
        StorageError: If storage or cache are full, read-only or away.
        KeyboardInterrupt: On an interrupt, after what was finished is kept.
        RayLost: If a part of Ray died under the study, a ``RuntimeError``; what is finished is kept.

    Example:
        >>> study = assay.run("tiny.yaml", local=True, processes=0)
        >>> set(study.trials()["status"])
        {'finished'}
    """
    from assay.storage import Store
    from assay.study import SearchPlan

    _refuse_options(local, processes, cpus, hours)
    root, kept = _folders(data, cache)
    planned = read_plan(study, data=root, cache=kept, say=say or _silent)
    if hours is not None and isinstance(planned, SearchPlan):
        raise InputError(
            f"a search has a budget of its own, `search.points`, found hours={hours:g} for "
            f"{planned.study.study}. Leave `hours` out."
        )
    store = Store.open(storage)
    from assay.engine import EngineOptions

    options = EngineOptions(
        data_root=root,
        cache=kept,
        retry_failed=retry_failed,
        cpus=cpus,
        on_message=say or _silent,
        local=local,
        processes=processes,
        hours=hours,
    )

    def begun(_: Plan, warnings: Sequence[str]) -> None:
        for warning in warnings:
            _warn(warning, stacklevel=5)

    outcome, results = train_study(store, planned, options, begun=begun, say=_warn, asked_by=asked_by)
    remaining = drop_models(store, results)
    if remaining is not None:
        _warn(f"models that `keep` leaves out stay for now: {remaining}")
    for problem in outcome.problems:
        _warn(f"a batch of trials broke: {problem}")

    # An interrupt and a loss are raised last: by now all that is finished is kept, and what was odd has been
    # said.
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.lost is not None:
        raise RayLost(outcome.lost)
    return OpenedStorage(store).study(results.name)


def data(trial: Trial, *, data: str | Path | None = None, cache: str | Path | None = None) -> TrainingData:
    """The data of a trial as its method gets them: training and validation images, with the labels allowed.

    No test image is among them, nor any mask outside the supervision.

    Example:
        >>> images = assay.data(assay.plan("tiny.yaml").trials[0]).train
        >>> images.images[images.ids[0]].shape  # height, width, channels
        (64, 128, 1)

    Args:
        trial: One of ``assay.plan(…).trials``; says which data, supervision, split, seed and size.
        data: Folder below which the data sets lie; not needed for the synthetic reader.
        cache: Folder for decoded images.

    Raises:
        InputError: If trial or probes break a rule, the data are not those of the plan, or it was made
            without data.
    """
    _refuse_other(trial)
    from assay.engine.worker.single_trial import training_data

    return training_data(trial, *_folders(data, cache))


def train(
    trial: Trial, *, data: str | Path | None = None, cache: str | Path | None = None, probes: int = 12
) -> TrainedTrial:
    """Train and evaluate one trial in this process, on the CPU, as `assay run` would; no storage is touched.

    A debugger reaches the method. Nothing keeps test images out of its reach here, as `assay run` does.

    Example:
        >>> trained = assay.train(assay.plan("tiny.yaml").trials[0])
        >>> 0 <= trained.record.result.metrics["image_ap"] <= 1
        True

    Args:
        trial: One of ``assay.plan(…).trials``.
        data: Folder below which the data sets lie; not needed for the synthetic reader.
        cache: Folder for decoded images.
        probes: Test images whose heatmaps are kept.

    Returns:
        The record with curve, predictions, maps and model. A method that raises makes a record that says so;
        where its ``load`` does, the model is None, and a ``UserWarning`` says why.

    Raises:
        InputError: If trial or probes break a rule, the data are not those of the plan, or it was made
            without data.
    """
    _refuse_other(trial, probes)
    from assay.engine.worker.single_trial import train_here

    return train_here(trial, *_folders(data, cache), probes=probes)


def _refuse_options(local: bool, processes: int | None, cpus: int | None, hours: float | None) -> None:
    from assay.study.file.reading import check_model
    from assay.study.file.schema import Budget
    from assay.study.file.source import Source, refuse

    if processes is not None and not local:
        raise InputError(f"`processes` goes with `local=True`, found processes={processes} alone")
    if processes is not None:
        _refuse_other_number("processes", "trainings", processes, 0)
    if cpus is not None:
        _refuse_other_number("cpus", "cores", cpus, 1)
    if hours is not None:
        refuse(Source("assay.run"), check_model(Budget, {"hours": hours})[1])


def _folders(data: str | Path | None, cache: str | Path | None) -> tuple[Path | None, Path]:
    root = _path("data", data) or os.environ.get("ASSAY_DATA")
    kept = _path("cache", cache) or os.environ.get("ASSAY_CACHE") or _DEFAULT_CACHE
    # Unlike `Path.expanduser` this leaves the `~` of nobody's home as a name.
    return Path(os.path.expanduser(root)) if root else None, Path(os.path.expanduser(kept))


def _path(name: str, value: object) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not (text := str(value)) or "\0" in text:
        raise InputError(f"`{name}` is the path of a folder, found {value!r}. Name one (. is this folder).")
    return Path(text)


def _refuse_other(trial: object, probes: object = 0) -> None:
    from assay.study import Trial

    if not isinstance(trial, Trial):
        raise InputError(
            f"a trial is one of `assay.plan(…).trials`, found a {type(trial).__name__}. Choose one of them."
        )
    _refuse_other_number("probes", "test images", probes, 0)


def _refuse_other_number(name: str, of: str, value: object, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise InputError(f"`{name}` is a number of {of}, {least} or more, found {value!r}. Correct it.")


def _silent(text: str) -> None:
    """Say nothing."""


def _warn(text: str, stacklevel: int = 3) -> None:
    warnings.warn(text, stacklevel=stacklevel)
