"""Addresses of MLflow: a storage's own, whether MLflow would take one, and whether anybody answers there."""

from __future__ import annotations

import os
import re
import socket
import sys
import textwrap
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException
from importlib.metadata import entry_points
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlsplit

from assay.storage import Store
from assay.storage.mlflow_sync_state import sqlite_address
from assay.storage.redaction import redact
from trainables.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = [
    "as_opened",
    "default_uri",
    "in_short",
    "ui_command",
    "ui_environment",
    "why_away",
    "why_refused",
    "why_unknown",
]

_UI_ENVIRONMENT: Mapping[str, str] = {  # up in 9 s instead of 38 s, and silent to the outside
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}  # where an address names none
_DATABASES = ("sqlite", *_PORTS)
_SERVERS = ("http", "https", "databricks", "databricks-uc", "uc")
_ANSWER_SECONDS = 3.0
_MESSAGE_CHARACTERS = 300
_LAYERS = re.compile(
    r"""( failed) with exception .*\(Caused by \w+\(["'](?:\w+\(host=[^)]*\): )?(.*)["']\)\)"""
)


def default_uri(store: Store) -> str | None:
    """Address at which runs are synced: ``MLFLOW_TRACKING_URI``, else SQLite beside the results.

    None for results in an object store without that variable: there is no place for SQLite in it.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI")
    if named:
        return named
    return sqlite_address(store.local_path / "mlflow.db") if store.local_path else None


def as_opened(uri: str) -> str:
    """A tracking URI as MLflow is given it.

    MLflow makes the folder that ``sqlite:///`` spells, ``%3F`` by its three letters, and then opens the file
    in the folder that is meant. Where the URI names SQLite's driver it makes none.
    """
    return f"sqlite+pysqlite{uri.removeprefix('sqlite')}" if uri.startswith("sqlite:") and "%" in uri else uri


def why_unknown(uri: str) -> str | None:
    """The reason for which MLflow would know no store at an address of this kind; None: it may know one."""
    kind = uri.partition(":")[0].partition("+")[0]
    files = urlsplit(uri).scheme in {"", "file"} and os.environ.get("MLFLOW_ALLOW_FILE_STORE")
    plugins = entry_points(group="mlflow.tracking_store").names
    if files or kind in {*_SERVERS, *_DATABASES, *plugins}:
        return None
    return f"MLflow keeps runs on a server (http, https) or in a database ({', '.join(_DATABASES)})"


def why_refused(uri: str) -> str | None:
    """The reason for which MLflow would refuse an address unasked; None: nothing speaks against it."""
    if why := why_unknown(uri):
        return why
    if uri.partition(":")[0].partition("+")[0] not in _DATABASES:
        return None
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    # Nobody is called yet: an address that cannot be parsed, and a driver that is missing, are known without
    # the database.
    try:
        make_url(uri).get_dialect().import_dbapi()
    except ImportError as error:
        return f"the database's driver is not installed ({in_short(error)})"
    except (SQLAlchemyError, ValueError) as error:
        return f"it is no database's address ({in_short(error)})"
    return None


def why_away(uri: str) -> str | None:
    """The reason for which nobody can be reached at an address that MLflow takes; None: somebody answers.

    A file of SQLite and a workspace of Databricks are not asked.
    """
    if uri.startswith(("http://", "https://")):
        return _why_server_away(uri)
    from sqlalchemy import make_url

    if uri.partition(":")[0].partition("+")[0] not in _PORTS:
        return None
    return _why_database_away(make_url(uri))


def _why_server_away(uri: str) -> str | None:
    try:
        parts = urlsplit(uri)
        place = parts.netloc.rpartition("@")[2]  # urlopen takes no password in a URL
        health = f"{parts.scheme}://{place}{parts.path.rstrip('/')}/health"
        with urllib.request.urlopen(health, timeout=_ANSWER_SECONDS):
            return None
    except (OSError, HTTPException, ValueError) as error:  # urllib's own errors are OSErrors
        if isinstance(error, HTTPError) and error.code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return None  # it answers; MLflow sends the credentials, which are not known here
        return in_short(error)


def _why_database_away(url: URL) -> str | None:
    """Knock before the driver calls: it would wait for minutes."""
    from sqlalchemy import NullPool, create_engine
    from sqlalchemy.exc import SQLAlchemyError

    try:
        if url.host:
            port = url.port or _PORTS[url.get_backend_name()]
            socket.create_connection((url.host, port), timeout=_ANSWER_SECONDS).close()
        create_engine(url, poolclass=NullPool).connect().close()
    except (OSError, SQLAlchemyError) as error:
        return in_short(error)
    return None


def ui_command(port: int, host: str = "127.0.0.1") -> list[str]:
    """The command that serves MLflow's pages, to be run with :func:`ui_environment`."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    return [*command, "--workers", "1"]


def ui_environment(uri: str) -> Mapping[str, str]:
    """Variables of the server of ``uri``, its address among them: everybody may read a command line.

    Raises:
        InputError: If ``uri`` is a server, which has pages of its own.
    """
    if uri.partition(":")[0] in _SERVERS:
        raise InputError(
            f"MLflow's pages are served from a database, found the server {redact(uri)}: "
            "it has pages of its own, open it in a browser."
        )
    return {**_UI_ENVIRONMENT, "MLFLOW_BACKEND_STORE_URI": as_opened(uri)}


def in_short(error: Exception) -> str:
    """The first line of an error, without passwords, 300 characters of it.

    Of a request that failed what was asked and the cause, without the layers of libraries between them.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    plain = _LAYERS.sub(r"\1: \2", redact(lines[0]))
    return textwrap.shorten(plain, _MESSAGE_CHARACTERS, placeholder=" …")
