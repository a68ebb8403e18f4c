"""`assay mlflow`: MLflow's pages on the runs of this storage, and the replay of records into it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.dashboard import Port
from assay.cli.lookup import study_name
from assay.cli.options import DEFAULT_CACHE, DEFAULT_STORAGE, Cache, Storage
from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.storage import Store

__all__ = ["AnyTracking", "Tracking", "mlflow"]

StudyName = Annotated[
    str | None, typer.Argument(metavar="[STUDY]", help="With --sync: only this study.", show_default=False)
]
Sync = Annotated[
    bool, typer.Option("--sync", help="Replay records that MLflow has not seen, and start no server.")
]
Models = Annotated[
    bool,
    typer.Option("--models", help="With --sync: also log the models that `keep` left (mlflow.pyfunc)."),
]
Register = Annotated[
    bool,
    typer.Option(
        "--register",
        help="With --models: register the winner on validation images in MLflow, under the study's name.",
    ),
]
Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]


_ANOTHER = "Name another with --tracking-uri, or leave it out for SQLite beside the results."


def _readable(uri: str | None) -> str | None:
    """A tracking URI that holds no credentials where it was typed: those of the environment are hidden.

    Raises:
        InputError: If it does.
    """
    from assay.storage.redaction import holds_credentials, redact

    if uri is not None and uri != os.environ.get("MLFLOW_TRACKING_URI") and holds_credentials(uri):
        raise InputError(
            f"--tracking-uri holds no credentials, found {redact(uri)}. Give them in "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the whole URI in MLFLOW_TRACKING_URI."
        )
    return uri


def _known(uri: str | None) -> str | None:
    """A tracking URI of a kind that MLflow knows: a study would train to its end before it hears otherwise.

    Raises:
        InputError: If MLflow knows no such kind, or as :func:`_readable` has it.
    """
    _readable(uri)
    if uri is not None:
        from assay.tracking import why_unknown

        if why := why_unknown(uri):
            raise InputError(f"MLflow cannot open {uri}: {why}. {_ANOTHER}")
    return uri


def _option(check: Callable[[str | None], str | None]) -> Any:
    return typer.Option(
        "--tracking-uri",
        envvar="MLFLOW_TRACKING_URI",
        callback=check,
        metavar="URI",
        help="MLflow's store or server; default: SQLite beside the results.",
    )


Tracking = Annotated[str | None, _option(_known)]
AnyTracking = Annotated[str | None, _option(_readable)]  # of a command that says what is wrong with it


def mlflow(
    study: StudyName = None,
    *,
    sync: Sync = False,
    models: Models = False,
    register: Register = False,
    host: Host = "127.0.0.1",
    port: Port = 5000,
    storage: Storage = DEFAULT_STORAGE,
    cache: Cache = DEFAULT_CACHE,
    tracking_uri: Tracking = None,
) -> None:
    """Open MLflow on the runs of a storage (study → cell → trial). Ctrl-C ends it.

    Exit code 1 after --sync: MLflow did not take everything.
    """
    from assay.storage import Store
    from assay.tracking import default_uri

    store = Store.open(storage)
    uri = tracking_uri or default_uri(store)
    if uri is None:
        raise InputError(
            f"{store.uri} has no place for MLflow's SQLite file. Name a server, or an SQLite file on this "
            "machine (sqlite:////path/mlflow.db), with --tracking-uri."
        )
    if models and not sync:
        raise InputError("--models belongs to --sync, found none: `assay mlflow --sync --models`.")
    if register and not models:
        raise InputError(
            "--register belongs to --models, found none: `assay mlflow --sync --models --register`."
        )
    if sync:
        _replay(store, uri, study, cache if models else None, register=register)
    else:
        _serve(store, uri, host, port)


def _replay(store: Store, uri: str, study: str | None, cache: Path | None, *, register: bool) -> None:
    from assay.analysis.reading import read_results
    from assay.tracking import MlflowMirror

    names = [study_name(store, study)] if study else store.studies()
    if not names:
        typer.echo(f"no study was run into {store.uri} yet")
        return
    mirror = MlflowMirror(uri, store)
    _refuse_running(store, names)
    complete = True
    for name in names:
        results = read_results(store, name)
        report = mirror.sync(results)
        typer.echo(f"{name}: {report.new} new, {report.already} known in {mirror.uri}")
        for trouble in (*report.failed, *filter(None, [report.away]), *report.notes):
            typer.echo(f"  {trouble}", err=True)
        complete = complete and report.complete
        if cache is not None and report.away is None:
            complete = _log_models(store, uri, name, cache) and complete
            if register:
                from assay.tracking.models import register_winner

                typer.echo(f"  the winner: {register_winner(store, results, uri)}")
    if not complete:
        raise typer.Exit(1)


def _log_models(store: Store, uri: str, study: str, cache: Path) -> bool:
    """Log kept models, and say how each is loaded; whether all are there."""
    from assay.storage.plans import stored_plan
    from assay.tracking.models import log_models

    complete = True
    for model in log_models(store, stored_plan(store, study), uri, cache):
        trial = f"{model.record.trial['cell']}, seed {model.record.trial['seed']}"
        if model.trouble:
            typer.echo(f"  {trial}: {model.trouble}", err=True)
        else:
            typer.echo(f'  {trial}: mlflow.pyfunc.load_model("{model.uri}")')
        complete = complete and not model.trouble
    return complete


def _refuse_running(store: Store, names: list[str]) -> None:
    from assay.storage.lease import holder

    for name in names:
        note = holder(store, name)
        if note is not None:  # two that log one trial at once would make two runs of it
            raise InputError(
                f"one process at a time logs a study in MLflow, and process {note.pid} on {note.host} runs "
                f"{name} and does so. Wait for its end, or name another study."
            )


def _serve(store: Store, uri: str, host: str, port: int) -> None:
    from assay.cli.serving import address_of, require_place, serve
    from assay.storage.mlflow_marker import study_address
    from assay.tracking import complete_file, ui_command, ui_environment, why_refused

    if why := why_refused(uri):
        raise InputError(f"MLflow cannot open {uri}: {why}. {_ANOTHER}")
    addresses = {name: study_address(store, name) for name in store.studies()}
    if aside := complete_file(uri):  # the server would build it in its place, and an end leave half of it
        typer.echo(f"{aside} `assay mlflow --sync` does so.", err=True)
    require_place(host, port)
    pages = {name: address for name, address in addresses.items() if address is not None}
    for name, address in pages.items():
        typer.echo(f"runs of {name}: {address_of(host, port)}/{address}")
    path = next(iter(pages.values())) if len(pages) == 1 else "#/experiments?workflowType=machine_learning"
    serve(
        "MLflow",
        ui_command(port, host),
        host,
        port,
        health="/health",
        takes="10 s",
        environment=ui_environment(uri),
        path=f"/{path}",
    )
