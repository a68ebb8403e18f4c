"""`assay check`: every file of a storage that something vouches for, and a way out of damage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.lookup import study_name
from assay.cli.options import DEFAULT_STORAGE, Storage, in_use
from assay.cli.output import console

if TYPE_CHECKING:
    from rich.console import Console

    from assay.storage import Store
    from assay.storage.check import Findings

__all__ = ["check"]

StudyName = Annotated[
    str | None, typer.Argument(metavar="[STUDY]", help="A study's name or file; default: all there is.")
]
Repair = Annotated[
    bool,
    typer.Option("--repair", help="Move what is damaged below `damaged/`, so that it is made again."),
]

Upgrade = Annotated[
    bool,
    typer.Option("--upgrade", help="Take a storage of an earlier format to the one of this version."),
]


def check(
    study: StudyName = None,
    *,
    repair: Repair = False,
    upgrade: Upgrade = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Read what checksums vouch for, and name what is damaged and what that costs.

    Exit code 0: all is sound, or was set aside; 1: something is damaged; 2: bad input.
    """
    from assay.storage import Store
    from assay.storage.check import check_storage

    if upgrade:
        if repair or study is not None:
            raise typer.BadParameter("--upgrade is of the whole storage, and goes alone.")
        _upgrade(storage)
        return
    store, out = Store.open(storage), console()
    name = None if study is None else study_name(store, study)
    findings = check_storage(store, name)
    if not (findings.studies or findings.records or findings.stages or findings.damages):
        what = "no study was" if name is None else f"study {name} was not"
        out.print(f"{what} run into {store.uri} yet: name another storage with --storage")
        return
    _print(findings, out)
    remaining = len(findings.damages)
    if repair and remaining:
        remaining = _repair(store, findings, storage, out)
    elif any(damage.aside for damage in findings.damages):
        command = in_use(f"assay check{'' if name is None else f' {name}'} --repair", storage=storage)
        out.print(f"`{command}` sets aside what `assay run` can make again, and deletes nothing")
    if remaining:
        raise typer.Exit(1)


def _upgrade(storage: str) -> None:
    from assay.storage.files import Files
    from assay.storage.storage_format import FORMAT, upgrade_storage

    files = Files(storage)
    upgrade_storage(files)
    console().print(f"{files.uri} has format {FORMAT}, the current one")


def _print(findings: Findings, out: Console) -> None:
    from assay.study.names import counted

    for damage in findings.damages:
        out.print(str(damage), style="red")
        out.print(f"  costs: {damage.cost}")
    trials = {damage.trial for damage in findings.damages if damage.trial is not None}
    if trials:
        out.print(f"damaged trials: {', '.join(sorted(trials))}")
    studies = f"{findings.studies} {'study' if findings.studies == 1 else 'studies'}"
    looked = f"{counted(findings.records, 'record')}, {counted(findings.stages, 'stage')}, {studies}"
    damages = counted(len(findings.damages), "damage") if findings.damages else "all sound"
    out.print(f"{looked} read: {damages}")
    if findings.left_out:
        files = counted(findings.left_out, "file")
        out.print(
            f"{files} more stayed out of the bundle that this storage comes from: models, pictures, plans"
        )


def _repair(store: Store, findings: Findings, storage: str, out: Console) -> int:
    """Set aside what can be made again; returns how many damages stay."""
    from assay.storage.check import set_aside

    moved = set_aside(store, findings.damages)
    for path, target in moved.items():
        out.print(f"set aside: {path} → {target}")
    if moved:
        again = in_use("assay run STUDY", storage=storage)
        out.print(f"`{again}` makes again what a study lacks: run each that is named above")
    return sum(not damage.aside for damage in findings.damages)
