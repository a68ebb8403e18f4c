"""`assay check`: every byte of a storage against what vouches for it, and a way out of damage."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.lookup import study_name
from assay.cli.options import DEFAULT_STORAGE, Storage, in_use
from assay.cli.output import console
from trainables.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from assay.storage import Store
    from assay.storage.integrity import Damage, Findings

__all__ = ["check"]

StudyName = Annotated[
    str | None, typer.Argument(metavar="[STUDY]", help="A study's name or file; default: all there is.")
]
Repair = Annotated[
    bool,
    typer.Option("--repair", help="Move what is damaged below `damaged/`, so that it is made again."),
]


def check(study: StudyName = None, *, repair: Repair = False, storage: Storage = DEFAULT_STORAGE) -> None:
    """Read all of a storage and name what is damaged, what it costs and what makes it again.

    Exit code 0: all is sound, or was set aside; 1: something is damaged; 2: bad input.
    """
    from assay.storage import Store
    from assay.storage.integrity import check_storage

    store, out = Store(storage), console()
    name = None if study is None else study_name(store, study)
    findings = check_storage(store, name)
    known = findings.damages or findings.waiting
    if not (findings.studies or findings.records or findings.stages or known):
        what = "no study was" if name is None else f"study {name} was not"
        out.print(f"{what} run into {store.uri} yet: name another storage with --storage")
        return
    _print(findings, out)
    remaining = len(findings.damages)
    if repair and remaining:
        remaining = _repair(store, findings, out)
    elif any(damage.aside for damage in findings.damages):
        command = in_use(f"assay check{'' if name is None else f' {name}'} --repair", storage=storage)
        out.print(f"`{command}` sets aside what can be made again, and deletes nothing")
    if repair and findings.damages:
        _print_way_on(store, findings.damages, storage, out)
    if remaining:
        raise typer.Exit(1)


def _print(findings: Findings, out: Console) -> None:
    from assay.study.names import counted

    for damage in (*findings.waiting, *findings.damages):
        out.print(str(damage), style="yellow" if damage.waits else "red")
        out.print(f"  costs: {damage.cost}")
        out.print(f"  mends: {damage.again}")
    trials = {damage.trial for damage in findings.damages if damage.trial is not None}
    if trials:
        out.print(f"damaged trials: {', '.join(sorted(trials))}")
    studies = f"{findings.studies} {'study' if findings.studies == 1 else 'studies'}"
    looked = f"{counted(findings.records, 'record')}, {counted(findings.stages, 'stage')}, {studies}"
    damages = counted(len(findings.damages), "damage") if findings.damages else "all sound"
    if findings.waiting:
        damages += f", and {len(findings.waiting)} set aside that nobody has made again yet"
    out.print(f"{looked} read: {damages}")
    if findings.without_checksum:
        verb = "is" if findings.without_checksum == 1 else "are"
        without = f"{counted(findings.without_checksum, 'record')} {verb}"
        out.print(
            f"{without} without a checksum, as versions before 0.2 wrote them: "
            "an edit that keeps a score in its range is not noticed there"
        )
    if findings.left_out:
        files = counted(findings.left_out, "file")
        out.print(
            f"{files} more stayed out of the bundle that this storage comes from: models, pictures, plans"
        )
    if findings.running:
        out.print(f"{', '.join(findings.running)} is running: what trains was not looked at")


def _repair(store: Store, findings: Findings, out: Console) -> int:
    """Set aside what can be made again; returns how many damages stay."""
    from assay.storage.integrity import set_aside

    moved = set_aside(store, findings.damages)
    for path, target in moved.items():
        out.print(f"set aside: {path} → {target}")
    return sum(not damage.aside for damage in findings.damages)


# In the folder of a study; what else lies there is not made again by a run of it.
_OF_A_RUN = ("study.yaml", "plan.parquet", "search.jsonl", "ablation.jsonl", "summary.parquet")


def _print_way_on(store: Store, damages: Iterable[Damage], storage: str, out: Console) -> None:
    """Say which commands make again what was damaged."""
    from assay.storage.integrity.studies import sound_plan

    touched = {path for damage in damages for path in (damage.path, *damage.aside)}
    for study in store.study_folders():
        files = {f"{store.study(study)}/{name}" for name in _OF_A_RUN}
        plan = sound_plan(store, study)
        if plan is not None:
            folders = {store.trial(trial.id) for trial in plan.trials}
            files |= folders | {f"{folder}/record.json" for folder in folders}
            files |= {f"methods/{method}" for method in plan.trainables}
        command = None if files.isdisjoint(touched) else _run_of(store, study, storage)
        if command is not None:
            out.print(f"make it again: {command}")


def _run_of(store: Store, study: str, storage: str) -> str | None:
    """The command that runs a study: with its file in the storage, unless that is not enough.

    None in a folder that was renamed or copied: its file makes the study of another folder.
    """
    from assay.study import parse_study
    from assay.study.methods import file_references, kept_copy

    path, file, beside = f"{store.study(study)}/study.yaml", "STUDY.yaml", f", with your file of {study}"
    data = "" if os.environ.get("ASSAY_DATA") else " --data ROOT"
    place = store.local_file(path)
    try:
        question = parse_study(store.read_bytes(path).decode(), path)
        if question.study != study:
            return None
        methods = file_references(question)
        lost = place is None or any(kept_copy(method, place.parent) is None for method in methods)
    except (FileNotFoundError, InputError, UnicodeDecodeError):
        return f"`{in_use(f'assay run {file}{data}', storage=storage)}`{beside}"
    if question.data.reader == "synthetic":
        data = ""
    if not lost:
        file, beside = shlex.quote(str(place)), ""
    elif methods:
        beside += f" beside {', '.join(methods)}"
    return f"`{in_use(f'assay run {file}{data}', storage=storage)}`{beside}"
