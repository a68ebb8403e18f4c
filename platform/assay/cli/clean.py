"""`assay clean`: what of a storage is not needed for any result, and its removal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import DEFAULT_STORAGE, Storage

if TYPE_CHECKING:
    from assay.results import Store

__all__ = ["Leftover", "clean", "leftovers", "register"]

_ALIVE_SECONDS = 3600.0  # a heartbeat younger than this: somebody may be training the trial

Yes = Annotated[bool, typer.Option("--yes", help="Remove it. Without this it is only listed.")]
Orphans = Annotated[
    bool, typer.Option("--orphans", help="Also trials that no study of this storage plans any more.")
]


@dataclass(frozen=True)
class Leftover:
    """A file or folder of the storage that no result needs."""

    path: str
    reason: str
    bytes: int


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: assay clean --storage ./assay-storage --yes")(clean)


def clean(yes: Yes = False, orphans: Orphans = False, storage: Storage = DEFAULT_STORAGE) -> None:
    """List what no result needs (dead attempts, checkpoints of finished trials); `--yes` removes it.

    Records and what they name are never touched, nor is a trial that may be training.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from assay.cli.output import console, size
    from assay.results import Store

    store, out = Store(storage), console()
    found = list(leftovers(store, orphans=orphans))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("path", "why it is not needed", "size"):
        table.add_column(title, overflow="fold", justify="right" if title == "size" else "left")
    for one in found:
        table.add_row(Text(one.path), Text(one.reason), size(one.bytes))
        if yes:
            store.delete_tree(one.path)
    if found:
        out.print(table)
    total = size(sum(one.bytes for one in found))
    if yes:
        out.print(f"freed {total} in {store.uri}")
    else:
        out.print(f"would free {total} in {store.uri}" + ("; `assay clean --yes` does it" if found else ""))


def leftovers(store: Store, *, orphans: bool) -> Iterator[Leftover]:
    """What could go, trial by trial.

    A trial without a record keeps its last checkpoint: the next `assay run` goes on from there.
    """
    planned = _planned(store) if orphans else frozenset[str]()
    for trial in store.trials():
        folder = store.trial(trial)
        if _may_be_training(store, trial):
            continue
        if orphans and trial not in planned:
            yield Leftover(folder, "no study of this storage plans this trial", store.size(folder))
            continue
        yield from _leftovers_of(store, trial, folder)


def _leftovers_of(store: Store, trial: str, folder: str) -> Iterator[Leftover]:
    from assay.results import Record

    record = store.record(trial)
    names = store.list(folder)
    if isinstance(record, Record):
        keep = record.attempt
        for name in ("checkpoint.safetensors", "progress.json", "stop.json"):
            if name in names:
                yield _leftover(store, f"{folder}/{name}", "the trial has its record")
    else:
        attempts = store.attempts(trial)
        keep = attempts[-1].attempt if attempts else ""
    for name in names:
        attempt = name.removesuffix("/")
        if name.endswith("/") and attempt not in (keep, "attempts"):
            yield _leftover(store, f"{folder}/{attempt}", "an attempt that left no record")


def _leftover(store: Store, path: str, reason: str) -> Leftover:
    return Leftover(path, reason, store.size(path))


def _may_be_training(store: Store, trial: str) -> bool:
    from assay.results import Record

    if isinstance(store.record(trial), Record):
        return False
    progress = store.progress(trial)
    attempts = store.attempts(trial)
    last = max(
        progress.time if progress else 0.0,
        attempts[-1].started.timestamp() if attempts else 0.0,
    )
    return time.time() - last < _ALIVE_SECONDS


def _planned(store: Store) -> frozenset[str]:
    from assay.cli.lookup import stored_plan

    return frozenset(trial.id for name in store.studies() for trial in stored_plan(store, name).trials)
