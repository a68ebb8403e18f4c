"""All of a storage, or what belongs to one study: damages, and how much was looked at."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from assay.storage.files import LinkError
from assay.storage.integrity.damage import GONE, LEAVES, NO_FILE, Damage
from assay.storage.integrity.mirror import check_mirror
from assay.storage.integrity.stages import check_method, check_stage
from assay.storage.integrity.studies import check_study, finished_trials, sound_plan
from assay.storage.integrity.trials import Planned, check_trial
from assay.storage.lease import running_studies
from assay.storage.record import Record
from assay.storage.stage_store import STAGE_KEY, stage_folder, stage_keys
from assay.storage.store import TRIAL_ID, Store
from assay.storage.unpacked import is_left_out, left_out
from trainables.errors import InputError
from trainables.method_files import is_file_method

__all__ = ["Findings", "check_storage"]

_FOLDERS = frozenset({"studies", "trials", "stages", "methods"})


@dataclass
class Findings:
    """Counts of a storage, and the damages in it."""

    damages: list[Damage] = field(default_factory=list)
    waiting: list[Damage] = field(default_factory=list)  # were set aside, and are not made again yet
    studies: int = 0  # with a plan
    records: int = 0  # sound ones
    stages: int = 0
    left_out: int = 0  # files that a bundle lacks by design
    running: tuple[str, ...] = ()  # studies that are being trained


def check_storage(store: Store, study: str | None = None) -> Findings:
    """Read all of a storage: every file that a record, a name or a checksum vouches for.

    Args:
        store: The results.
        study: Only this study, its trials, and the stages and methods that those use. None: all there is.

    Raises:
        InputError: If a file lies where one of the storage's own folders belongs.
    """
    store.require_root()
    _refuse_files_for_folders(store)
    names = store.study_folders() if study is None else [study]
    running = tuple(running_studies(store))
    plans = {name: sound_plan(store, name) for name in store.study_folders()}
    planned = Planned(plan for plan in plans.values() if plan is not None)
    findings = Findings(studies=len({*names}.intersection(store.studies())), running=running)
    for name in names:
        damages = check_study(store, name, plans.get(name), running=name in running)
        findings.damages += _unlinked(store, store.study(name), damages)
    for path in map(store.study, _names(store, "studies")) if study is None else ():
        findings.damages += _unlinked(store, path, ())
    finished = {trial: path for name in names for trial, path in finished_trials(store, name).items()}
    chosen = plans[names[0]] if study is not None else None
    begun, trials = set(filter(TRIAL_ID.fullmatch, _names(store, "trials"))), set(store.trials())
    wanted = begun | (finished.keys() & planned.ids)
    if study is not None:
        wanted &= {trial.id for trial in chosen.trials} if chosen is not None else finished.keys()
    used, methods = set[str](), set[str]()  # by records: keys of stages, methods that are files
    for trial_id in sorted(wanted):
        witness = finished.get(trial_id)
        record = store.record(trial_id)
        damages = check_trial(store, trial_id, record, planned, witness=witness, running=bool(running))
        findings.damages += _unlinked(store, store.trial(trial_id), damages)
        if isinstance(record, Record) and trial_id in trials:
            findings.records += 1
            used.update(stage.key for stage in record.stages)
            methods.update(filter(is_file_method, [str(record.trial.get("trainable"))]))
    stages, made = set(filter(STAGE_KEY.fullmatch, _names(store, "stages"))), set(stage_keys(store))
    for key in sorted(stages if study is None else stages & used):
        damages = check_stage(store, key, used=key in used, running=bool(running))
        findings.damages += _unlinked(store, stage_folder(key), damages)
        findings.stages += key in made and "done.json" in store.list(stage_folder(key))
    for name in sorted(methods | _names(store, "methods") if study is None else methods):
        damages = check_method(store, name, used=name in methods)
        findings.damages += _unlinked(store, f"methods/{name}", damages)
    files = left_out(store)
    damages = [d for d in findings.damages if not (d.text == GONE and is_left_out(store, d.path, files))]
    findings.damages, findings.left_out = damages, len(findings.damages) - len(damages)
    if not running:  # else somebody writes into it
        findings.damages += check_mirror(store)
    findings.waiting = [damage for damage in findings.damages if damage.waits]
    findings.damages = [damage for damage in findings.damages if not damage.waits]
    return findings


def _refuse_files_for_folders(store: Store) -> None:
    for name in store.list():
        if name in _FOLDERS:  # what it should hold is not known, and must not count as sound or as not there
            raise InputError(
                f"{name} of a storage is a folder, found a file in {store.uri}. Move it away, and put "
                "the folder back, as from a copy."
            )


def _names(store: Store, folder: str) -> set[str]:
    return {name.removesuffix("/") for name in store.list(folder)}


def _unlinked(store: Store, path: str, damages: Iterable[Damage]) -> list[Damage]:
    """The damages of a folder; of one that is a symbolic link, or holds one that leads away, only that.

    The same of one that holds a folder in the place of a file.
    """
    cost, again = "what it leads to counts as not there", "what it leads to, in its place; or its removal"
    if store.linked(path):
        return [Damage(path, "is a symbolic link, and none is followed", cost, again)]
    try:
        return list(damages)
    except LinkError as error:
        return [Damage(error.path, LEAVES, cost, again)]
    except IsADirectoryError as error:
        place = os.path.relpath(error.filename, store.local_path)
        cost, again = "what needs the file ends at it", "its removal, then `assay check` looks on"
        return [Damage(place, NO_FILE, cost, again)]
