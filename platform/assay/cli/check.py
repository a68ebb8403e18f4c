"""`assay check`: every byte of a storage against what vouches for it, and a way out of damage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import DEFAULT_STORAGE, Storage, in_use

if TYPE_CHECKING:
    from rich.console import Console

    from assay.storage import Store
    from assay.storage.integrity import Findings

__all__ = ["check", "register"]

StudyName = Annotated[
    str | None, typer.Argument(metavar="[STUDY]", help="A study's name or file; default: all there is.")
]
Repair = Annotated[
    bool,
    typer.Option("--repair", help="Move what is damaged below `damaged/`, so that it is made again."),
]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: assay check quickstart --repair")(check)


def check(study: StudyName = None, *, repair: Repair = False, storage: Storage = DEFAULT_STORAGE) -> None:
    """Read all of a storage and name what is damaged, what it costs and what makes it again.

    Exit code 0: all is sound, or was set aside; 1: something is damaged; 2: bad input.
    """
    from assay.cli.lookup import study_name
    from assay.cli.output import console
    from assay.storage import Store
    from assay.storage.integrity import check_storage

    store, out = Store(storage), console()
    name = None if study is None else study_name(store, study)
    findings = check_storage(store, name)
    if not (findings.studies or findings.records or findings.stages or findings.damages):
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
        _print_way_on(store, name, storage, out)
    if remaining:
        raise typer.Exit(1)


def _print(findings: Findings, out: Console) -> None:
    from assay.study.names import counted

    for damage in findings.damages:
        out.print(str(damage), style="red")
        out.print(f"  costs: {damage.cost}")
        out.print(f"  mends: {damage.again}")
    trials = {damage.trial for damage in findings.damages if damage.trial is not None}
    if trials:
        out.print(f"damaged trials: {', '.join(sorted(trials))}")
    studies = f"{findings.studies} {'study' if findings.studies == 1 else 'studies'}"
    looked = f"{counted(findings.records, 'record')}, {counted(findings.stages, 'stage')}, {studies}"
    damages = counted(len(findings.damages), "damage") if findings.damages else "all sound"
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


def _print_way_on(store: Store, name: str | None, storage: str, out: Console) -> None:
    """Say which command makes again what was set aside."""
    for study in [name] if name is not None else store.study_folders():
        file = f"{store.study(study)}/study.yaml"
        if store.exists(file):
            place = store.local_file(file)
            run = in_use(f"assay run {place or 'STUDY.yaml'}", storage=storage)
            out.print(f"make it again: `{run}`")
