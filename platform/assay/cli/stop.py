"""`assay stop`: ask a running study, or one of its trials, to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import DEFAULT_STORAGE, Storage, in_use

if TYPE_CHECKING:
    from assay.storage import Store

__all__ = ["register", "stop"]

Target = Annotated[
    str, typer.Argument(metavar="STUDY|TRIAL", help="A study's name or file, or the start of a trial's id.")
]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: assay stop quickstart")(stop)


def stop(target: Target, storage: Storage = DEFAULT_STORAGE) -> None:
    """Ask a running study, or one of its trials, to end. `assay run` goes on from there.

    A study ends within seconds, a trial after the epoch it is in. Exit code 2: nobody runs it.
    """
    from assay.cli.lookup import study_name, trial_id
    from assay.storage import Store
    from assay.storage.stop import request_stop
    from trainables.errors import InputError

    store = Store(storage)
    again = in_use("assay run", storage=storage)
    try:
        name = study_name(store, target)
    except InputError as no_study:
        try:
            trial = trial_id(store, target)
        except InputError as no_trial:
            raise InputError(f"{no_study} {no_trial}") from None
        _refuse_trial(store, trial)
        request_stop(store, "trial", trial)
        typer.echo(f"asked trial {trial} to stop after its epoch; the next `{again}` goes on with it")
        return
    who = _refuse_study(store, name)
    request_stop(store, "study", name)
    typer.echo(f"asked study {name} ({who}) to stop; `{again}` goes on from what is finished")


def _refuse_study(store: Store, name: str) -> str:
    """Who runs the study; an error when nobody does."""
    from assay.storage.lease import holder
    from trainables.errors import InputError

    note = holder(store, name)
    if note is None:
        raise InputError(f"only a study that runs can be stopped, and nobody runs {name} in {store.uri} now.")
    return f"process {note.pid} on {note.host}"


def _refuse_trial(store: Store, trial: str) -> None:
    from assay.storage import Record
    from assay.storage.lease import holder
    from trainables.errors import InputError

    record = store.record(trial)
    if isinstance(record, Record):
        raise InputError(f"only a trial that trains can be stopped, and {trial} has ended: {record.status}.")
    running = [name for name in store.studies() if holder(store, name) is not None]
    if not any(_plans(store, name, trial) for name in running):
        raise InputError(
            f"only a trial that trains can be stopped, and no study that runs in {store.uri} has {trial}."
        )


def _plans(store: Store, study: str, trial: str) -> bool:
    """True if the study has the trial; one whose plan cannot be read may have it."""
    from assay.storage.plans import stored_plan
    from trainables.errors import InputError

    try:
        return any(planned.id == trial for planned in stored_plan(store, study).trials)
    except InputError:
        return True
