"""`assay mlflow`: MLflow's pages on the runs of this storage, and the replay of records into it."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.options import DEFAULT_STORAGE, Storage

__all__ = ["mlflow", "register"]

Sync = Annotated[
    bool, typer.Option("--sync", help="Replay records that MLflow has not seen, and start no server.")
]
Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]
Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")]
Tracking = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        envvar="MLFLOW_TRACKING_URI",
        metavar="URI",
        help="MLflow's store or server; default: SQLite beside the results.",
    ),
]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: assay mlflow --storage ./assay-storage --port 5000")(mlflow)


def mlflow(
    sync: Sync = False,
    host: Host = "127.0.0.1",
    port: Port = 5000,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: Tracking = None,
) -> None:
    """Open MLflow on the runs of a storage (study → cell → trial); Ctrl-C ends it."""
    del sync, host, port, storage, tracking_uri
