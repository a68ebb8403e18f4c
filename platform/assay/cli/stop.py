"""`assay stop`: ask a running study, or one of its trials, to end."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.options import DEFAULT_STORAGE, Storage

__all__ = ["register", "stop"]

Target = Annotated[
    str, typer.Argument(metavar="STUDY|TRIAL", help="A study's name or file, or the start of a trial's id.")
]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: assay stop quickstart")(stop)


def stop(target: Target, storage: Storage = DEFAULT_STORAGE) -> None:
    """Ask a running study to end; what is finished stays, and `assay run` goes on from there."""
    from assay.cli.lookup import study_name, trial_id
    from assay.results import Store
    from assay.results.stop import request_stop
    from trainables.errors import InputError

    store = Store(storage)
    try:
        name = study_name(store, target)
    except InputError as no_study:
        try:
            trial = trial_id(store, target)
        except InputError as no_trial:
            raise InputError(f"{no_study} {no_trial}") from None
        request_stop(store, "trial", trial)
        typer.echo(f"asked trial {trial} to stop; `assay run` trains it again")
        return
    request_stop(store, "study", name)
    typer.echo(f"asked study {name} to stop; `assay run` goes on from what is finished")
