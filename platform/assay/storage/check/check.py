"""Every file of a storage that has a checksum: ``assay check``.

Records and stages name their files with their sha256. Plans, points, looks and preregistrations hold a
checksum, and the name of a method's code is one. :func:`quarantine` moves what is broken below ``damaged/``:
the next run makes it again. What has no checksum (heartbeats, notes of attempts, a lease, MLflow's
database) is not looked at: who reads it goes on without, or says what is wrong.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePosixPath

import pyarrow as pa

from assay.storage.conditions import UNDER
from assay.storage.files.checksum import without_checksum
from assay.storage.files.files import LinkError
from assay.storage.lease import holder
from assay.storage.method_store import read_method
from assay.storage.plans import TRACES, RenamedFolderError, is_left_out, left_out, written_plan
from assay.storage.preregistration import read_interim_looks, read_preregistrations
from assay.storage.record import DamagedRecord, Record, differences
from assay.storage.search_points import read_points, with_points
from assay.storage.stage_store import STAGE_KEY, StageRecord, examine_stage, stage_folder
from assay.storage.store import TRIAL_ID, Store
from assay.study import Plan, SearchPlan, Trial
from trainables.errors import InputError, StorageError
from trainables.plugins.method_files import is_file_method

__all__ = ["Damage", "Findings", "check_storage", "quarantine"]

_FOLDERS = frozenset({"studies", "trials", "stages", "methods"})
_GONE = "is gone"  # what may be left out of a copy by design, and is no damage then
_COSTS = {
    "predictions.parquet": "intervals over test items and `assay export`'s check leave the trial out",
    "regions.parquet": "no list has the trial's defects one by one",
    "maps.parquet": "no picture shows the trial",
    "lineage.parquet": "no picture shows the trial's stages",
    "curve.parquet": "the trial has no learning curve",
    "model": "the trial neither predicts nor is exported",
}
_ONLY_COPIES = {"looks.json", "registered.json"}  # which no run makes again
_UNREPORTED = "nothing is reported of the study"
_NO_PLAN = "status, report and pages do not know the study; its records stand"
_NO_POINTS = "its points are unknown, and no table has their trials; their records stand"
_NO_STAGE = "a trial that needs the stage would end at it; scores of those that used it stand"


@dataclass(frozen=True)
class Damage:
    """A file or folder that is not what it should be."""

    path: str  # below the storage's root
    text: str  # what is wrong
    cost: str  # a clause
    aside: tuple[str, ...] = ()  # files and folders that go aside for it; empty: nothing makes it again
    trial: str | None = None  # whose it is

    def __str__(self) -> str:
        return f"{self.path} {self.text}"


@dataclass
class Findings:
    """Counts of a storage, and the damages in it."""

    damages: list[Damage] = field(default_factory=list)
    studies: int = 0  # with a plan
    records: int = 0  # sound ones
    stages: int = 0
    left_out: int = 0  # files that a copy lacks by design


def check_storage(store: Store, study: str | None = None) -> Findings:
    """Read every file of a storage that has a checksum, in a record, a name or itself.

    Args:
        store: The results.
        study: Only this study, its trials, and the stages and methods that those use. None: all there is.

    Raises:
        InputError: If a file lies where one of the storage's own folders belongs.
    """
    store.require_root()
    for name in _FOLDERS.intersection(store.list()):
        raise InputError(  # what it should hold is not known, and must not count as sound or as not there
            f"{name} of a storage is a folder, found a file in {store.uri}. Move it away, and put "
            "the folder back, as from a copy."
        )
    names = store.study_folders() if study is None else [study]
    findings = Findings(studies=len({*names}.intersection(store.studies())))
    damages: list[Damage] = []

    # Studies first: their plans say which trial is a repeat of which cell.
    plans = {name: _sound_plan(store, name) for name in store.study_folders()}
    for name in {*names, *_names(store, "studies")} if study is None else names:
        damages += _in_folder(store, store.study(name), _check_study(store, name, plans.get(name)))

    # Records, and the files that they name.
    planned: dict[str, list[tuple[Plan, Trial]]] = {}
    for plan in filter(None, plans.values()):
        for trial in plan.trials:
            planned.setdefault(trial.id, []).append((plan, trial))
    trials = set(filter(TRIAL_ID.fullmatch, _names(store, "trials")))
    if study is not None:
        chosen = plans.get(study)
        trials &= {trial.id for trial in chosen.trials} if chosen is not None else set()
    stages, methods = set[str](), set[str]()  # that records used
    for trial_id in sorted(trials):
        record = store.record(trial_id)
        checks = _check_trial(store, trial_id, record, planned.get(trial_id, ()))
        damages += _in_folder(store, store.trial(trial_id), checks)
        if isinstance(record, Record):
            findings.records += 1
            stages.update(stage.key for stage in record.stages)
            methods.update(filter(is_file_method, [str(record.trial.get("trainable"))]))

    # Stages that trials share, and the code of methods that are files.
    there = set(filter(STAGE_KEY.fullmatch, _names(store, "stages")))
    for key in sorted(there if study is None else there & stages):
        damages += _in_folder(store, stage_folder(key), _check_stage(store, key))
        findings.stages += not store.linked(stage_folder(key)) and "done.json" in store.list(
            stage_folder(key)
        )
    for name in sorted(methods | _names(store, "methods") if study is None else methods):
        damages += _in_folder(store, f"methods/{name}", _check_method(store, name, used=name in methods))

    # A copy of a storage may leave files out on purpose, and lists them: those are no damage.
    files = left_out(store)
    findings.damages = [d for d in damages if d.text != _GONE or not is_left_out(store, d.path, files)]
    findings.left_out = len(damages) - len(findings.damages)
    return findings


def quarantine(store: Store, damages: Iterable[Damage]) -> dict[str, str]:
    """Move what is damaged below ``damaged/``, under the time of this call.

    Returns:
        Path → where it lies now.

    Raises:
        InputError: If a study of the storage is being trained, and may need what is moved.
    """
    for name in store.study_folders():
        note = holder(store, name)

        # A training run may be about to read what would be moved, so nothing is moved while anybody trains.
        if note is not None:
            raise InputError(
                f"a storage is repaired while nobody trains, and process {note.pid} on {note.host} runs "
                f"{name}. Wait for its end, or end it with `assay stop {name}`."
            )
    paths = {PurePosixPath(path) for damage in damages for path in damage.aside}
    # What lies behind a symbolic link is somebody else's; the link itself may go aside.
    paths = {path for path in paths if not store.linked(str(path.parent))}

    # A folder goes with all that is in it: what lies below another path of the list is moved with that one.
    whole = sorted(path for path in paths if not any(parent in paths for parent in path.parents))
    folder = f"damaged/{datetime.now(UTC):%Y-%m-%dT%H-%M-%S-%f}"
    moved = {str(path): f"{folder}/{path}" for path in whole}
    for path, target in moved.items():
        store.move(path, target)
    return moved


def _sound_plan(store: Store, name: str) -> Plan | None:
    """The plan of a study, with its points where they can be read; None where it is damaged itself."""
    try:
        plan = written_plan(store, name)
    except InputError:
        return None
    try:
        # Points that cannot be read are the damage of their own file: the plan stands without them.
        return with_points(plan, store)
    except InputError:
        return plan


def _check_study(store: Store, name: str, plan: Plan | None) -> Iterator[Damage]:
    """Plan, points, looks, preregistration and summary: each has a reader that says what is wrong."""
    folder = store.study(name)
    names = store.list(folder)
    files: list[tuple[str, Callable[[], object], str]] = [
        ("looks.json", lambda: read_interim_looks(store, name), f"{_UNREPORTED}: p-values would look better"),
        ("summary.parquet", partial(store.read_table, f"{folder}/summary.parquet"), "its numbers are lost"),
        (
            "registered.json",
            lambda: read_preregistrations(store, name),
            f"{_UNREPORTED}: it may ask anew by now",
        ),
    ]
    # A study that was refused or killed before its first plan has its text at most.
    if "plan.parquet" in names or not TRACES.isdisjoint(names):
        files.append(("plan.parquet", lambda: written_plan(store, name), _NO_PLAN))
    if isinstance(plan, SearchPlan):
        files.append(("search.jsonl", partial(read_points, store, plan), _NO_POINTS))

    # Each file is read by the reader that all others use, so a file counts as damaged exactly where a report
    # would refuse it. Trouble with the storage itself is no finding about a file, and ends the check.
    for file, read, cost in files:
        path = f"{folder}/{file}"
        try:
            read()
        except (FileNotFoundError, NotADirectoryError):  # a loose file among the studies is none
            continue
        except (LinkError, StorageError, IsADirectoryError):
            raise
        except (InputError, OSError, pa.ArrowException) as error:
            text = " ".join(str(error).split()).removeprefix(f"{path} in {store.uri} ")

            # Only what a run writes anew may be moved away. A file that is the only copy stays, however
            # damaged.
            made = file in names and file not in _ONLY_COPIES and not isinstance(error, RenamedFolderError)
            yield Damage(path, text if file in names else _GONE, cost, (path,) if made else ())


def _check_trial(
    store: Store,
    trial_id: str,
    record: Record | DamagedRecord | None,
    planned: Iterable[tuple[Plan, Trial]],
) -> Iterator[Damage]:
    """The record of a trial, against itself and its plans, and the files that it names."""
    if record is None:
        return
    folder = store.trial(trial_id)

    # The cost of damage is which study loses how many repeats of which cell.
    repeats = [
        f"1 of {sum(trial.cell == each.cell for trial in plan.trials)} repeats of `{each.cell}` in "
        f"{plan.study.study}"
        for plan, each in planned
    ]
    lost = f"{' and '.join(repeats)} is left out" if repeats else "no study plans the trial"
    if isinstance(record, DamagedRecord):
        yield Damage(record.path, f"is damaged: {record.text}", lost, (folder,), trial_id)
        return

    # Studies that plan the trial would all say the same, so the first difference is enough.
    for text in [text for _, trial in planned if (text := differences(record, trial))][:1]:
        yield Damage(f"{folder}/record.json", f"is damaged: {text}", lost, (folder,), trial_id)
    for path, text in _wrong_files(store, folder, record.files):
        name = path.removeprefix(f"{folder}/{record.attempt}/")
        cost = _COSTS.get(name.split("/")[0], "what needs it leaves the trial out")
        yield Damage(path, text, f"{cost}; its scores stand", (folder,), trial_id)

    # What it is worth under other conditions is evaluated anew where a file is gone.
    for name in store.list(f"{folder}/{UNDER}"):
        path = f"{folder}/{UNDER}/{name}"
        if without_checksum(store.read_bytes(path)).checksum == "wrong":
            text = "was changed since it was written (its checksum is another)"
            cost = "no report of a study with `test_under` is made; the next run evaluates the model again"
            yield Damage(path, text, cost, (path,), trial_id)


def _check_stage(store: Store, key: str) -> Iterator[Damage]:
    """The record of a stage, and the files that it names."""
    folder = stage_folder(key)
    record = examine_stage(store, key)
    if isinstance(record, str):
        yield Damage(f"{folder}/done.json", record, _NO_STAGE, (folder,))
    elif isinstance(record, StageRecord):
        for path, text in _wrong_files(store, f"{folder}/{record.attempt}", record.files):
            yield Damage(path, text, _NO_STAGE, (folder,))


def _check_method(store: Store, name: str, *, used: bool) -> Iterator[Damage]:
    """The code of a method that is a file, against the hash in its name.

    Of one that no record used (``used``) the code may be half there: the run that begins with it writes it.
    """
    folder = f"methods/{name}"
    try:
        read_method(store, name)
    except InputError:
        if used:
            cost = "its models neither predict nor are exported; scores of its trials stand"
            aside = (folder,) if store.exists(folder) else ()
            yield Damage(folder, "is not the code that its name says", cost, aside)


def _wrong_files(store: Store, folder: str, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Path and trouble of each file below ``folder`` that is not the one of its sha256."""
    for name, digest in files.items():
        path = f"{folder}/{name}"
        try:
            data = store.read_bytes(path)
        except FileNotFoundError:
            yield path, _GONE
            continue
        except StorageError:
            raise
        except OSError as error:
            yield path, f"cannot be read ({error.strerror or error})"
            continue
        if hashlib.sha256(data).hexdigest() != digest:
            yield path, "is not the file that was written (sha256 differs)" if data else "is empty"


def _names(store: Store, folder: str) -> set[str]:
    return {name.removesuffix("/") for name in store.list(folder)}


def _in_folder(store: Store, path: str, checks: Iterable[Damage]) -> list[Damage]:
    """The damages of a folder; only that it leads away, or holds a folder for a file, where that is so."""
    linked = "what it leads to counts as not there"
    if store.linked(path):
        return [Damage(path, "is a symbolic link, and none is followed", linked)]
    try:
        return list(checks)
    except LinkError as error:
        return [Damage(error.path, "leaves the storage through a symbolic link", linked)]
    except IsADirectoryError as error:
        place = os.path.relpath(error.filename, store.local_path)
        return [Damage(place, "is a folder, and a file belongs there", "what needs the file ends at it")]
