"""`assay stop`: ask a running study, or one of its trials, to end."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.lookup import study_name, trial_id
from assay.cli.options import DEFAULT_STORAGE, Storage, in_use
from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.storage import Store
    from assay.storage.lease import LeaseNote

__all__ = ["stop"]

Target = Annotated[
    str, typer.Argument(metavar="STUDY|TRIAL", help="A study's name or file, or the start of a trial's id.")
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Take the study away from a run that no longer answers: what it still writes is refused.",
    ),
]


def stop(target: Target, storage: Storage = DEFAULT_STORAGE, force: Force = False) -> None:
    """Ask a running study, or one of its trials, to end. `assay run` goes on from there.

    A study ends within seconds, a trial after the epoch it is in. Exit code 2: nobody runs it.
    """
    from assay.storage import Store
    from assay.storage.lease import request_stop

    store = Store.open(storage)
    again = in_use("assay run STUDY", storage=storage)
    try:
        name = study_name(store, target)
    except InputError:
        if not re.fullmatch("[0-9a-f]+", target):  # no start of an id
            raise
        trial = trial_id(store, target)
        if force:
            raise InputError(
                f"--force takes a study away from its run, found trial {trial}. Name its study."
            ) from None
        note = _run_of(store, trial)
        request_stop(store, "trial", trial, note.token)
        typer.echo(f"asked trial {trial} to stop after its epoch; the next `{again}` goes on with it")
        return
    if force:
        _displace(store, name, again)
        return
    note = _holder(store, name)
    request_stop(store, "study", name, note.token)
    who = f"process {note.pid} on {note.host}"
    typer.echo(f"asked study {name} ({who}) to stop; `{again}` goes on from what is finished")


def _displace(store: Store, name: str, again: str) -> None:
    """Take the lease away, and name who had it."""
    from assay.storage.lease import displace

    note = displace(store, name)
    silent = max(0.0, time.time() - note.beat)  # clocks may differ
    typer.echo(
        f"took study {name} away from {note} (last sign of life {silent:.0f} s ago). What it "
        f"still writes is refused, and it stops when it looks. `{again}` goes on from what is finished"
    )


def _holder(store: Store, name: str) -> LeaseNote:
    """Who runs the study; an error when nobody does."""
    from assay.storage.lease import holder

    note = holder(store, name)
    if note is None:
        raise InputError(
            f"only a study that runs can be stopped, and nobody runs {name} in {store.uri} now. A run that "
            "still opens its data has not begun: Ctrl-C ends it where it was started."
        )
    return note


def _run_of(store: Store, trial: str) -> LeaseNote:
    """Who runs a study with the trial; an error when nobody does, or the trial has ended."""
    from assay.storage import Record
    from assay.storage.lease import holder

    record = store.record(trial)
    if isinstance(record, Record):
        raise InputError(f"only a trial that trains can be stopped, and {trial} has ended: {record.status}.")
    for name in store.study_folders():
        note = holder(store, name)
        if note is not None and _plans(store, name, trial):
            return note
    raise InputError(
        f"only a trial that trains can be stopped, and no study that runs in {store.uri} has {trial}."
    )


def _plans(store: Store, study: str, trial: str) -> bool:
    """True if the study has the trial; one whose plan cannot be read may have it."""
    from assay.storage.plans import stored_plan

    try:
        return any(planned.id == trial for planned in stored_plan(store, study).trials)
    except InputError:
        return True
