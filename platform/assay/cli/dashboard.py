"""`assay dashboard` and `assay demo`: pages of a storage's studies in a browser, live."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from assay.cli.options import DEFAULT_STORAGE, Storage
from trainables.errors import InputError

__all__ = ["Port", "dashboard", "demo"]

Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")]

_HERE = "127.0.0.1"
_MLFLOW = "http://127.0.0.1:5000"  # where `assay mlflow` serves

Host = Annotated[
    str,
    typer.Option("--host", metavar="ADDRESS", help="Address to listen on. Pages have no accounts."),
]
ReadOnly = Annotated[
    bool | None,
    typer.Option(
        "--read-only/--no-read-only",
        help="Pages without buttons that stop trainings.",
        show_default="read-only beyond this machine",
    ),
]

Mlflow = Annotated[
    str, typer.Option("--mlflow", metavar="URL", help="Where `assay mlflow` serves, for links to runs.")
]

# Streamlit reads a config from the folder it is started in: flags say the same everywhere.
_FLAGS = {
    "browser.gatherUsageStats": "false",
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "server.runOnSave": "false",
    "client.showSidebarNavigation": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "runner.magicEnabled": "false",
    # A select has a default, which Back goes to, and takes over what was chosen on another page.
    "global.disableWidgetStateDuplicationWarning": "true",
    "logger.level": "error",
    "logger.enableRich": "false",  # it would write to the standard output, which nobody reads
    "theme.baseFontSize": "15",
    "theme.baseRadius": "small",
    "theme.showWidgetBorder": "true",
    "theme.headingFontSizes": '["1.6rem", "1.25rem", "1.1rem"]',
    "theme.light.primaryColor": "#0072B2",
    "theme.dark.primaryColor": "#56B4E9",
    "theme.dark.backgroundColor": "#14171a",
    "theme.dark.secondaryBackgroundColor": "#1d2226",
}


def dashboard(
    port: Port = 8501,
    *,
    storage: Storage = DEFAULT_STORAGE,
    mlflow: Mlflow = _MLFLOW,
    host: Host = _HERE,
    read_only: ReadOnly = None,
) -> None:
    """Look at studies in a browser while they run: tables, effects, masks, curves. Ctrl-C ends it.

    It reads the storage. All that it writes there are requests to stop, by its buttons, as `assay stop` does.
    """
    from assay.cli.serving import only_here, require_place, serve
    from assay.storage import Store

    require_place(host, port)
    store = Store.open(storage)
    store.require_root()
    script = _script()
    place = {"server.address": host, "server.port": str(port)}
    flags = [f"--{name}={value}" for name, value in {**_FLAGS, **place}.items()]
    command = [sys.executable, "-m", "assay_dashboard", "run", str(script), *flags]
    command += ["--", "--storage", store.uri, "--mlflow", _checked(mlflow)]
    shared = not only_here(host)
    only_read = shared if read_only is None else read_only
    if only_read:
        command.append("--read-only")
    if shared:
        typer.echo(_risk(host, port, only_read))
    root = str(script.parents[1])  # streamlit puts the script's own folder on the path, not the one above
    serve(
        "the dashboard",
        command,
        host,
        port,
        health="/_stcore/health",
        takes="3 s",
        environment={"PYTHONPATH": _path(root)},
    )


def demo(port: Port = 8501) -> None:
    """Look at a finished study in a browser before anything is trained. Ctrl-C ends it.

    The study is the quickstart as it ended: what do masks buy, and which of SegDecNet's additions can go?
    """
    import tempfile

    from assay.demo import unpack_demo

    with tempfile.TemporaryDirectory(prefix="assay-demo-") as folder:
        unpack_demo(folder)
        typer.echo(f"the quickstart study lies in {folder} until the pages end")
        dashboard(port, storage=folder)


def _risk(host: str, port: int, only_read: bool) -> str:
    """Address of the pages, and what everybody can do who reaches them."""
    import socket

    from assay.cli.serving import EVERYWHERE, address_of

    address = address_of(socket.gethostname() if host in EVERYWHERE else host, port)
    stop = (
        "Buttons that stop trainings are off."
        if only_read
        else "They can stop trainings: leave out --no-read-only to take the buttons away."
    )
    return (
        f"--host {host}: everybody who reaches {address} reads all studies of this storage. There are no "
        f"accounts, and nothing is encrypted. {stop}"
    )


def _checked(url: str) -> str:
    from assay.storage.redaction import holds_credentials

    if holds_credentials(url):  # its links stand in every page
        raise InputError(
            f"--mlflow is shown to all who see the pages, and {url} holds credentials. Leave them out."
        )
    if urlsplit(url).scheme not in {"http", "https"}:
        raise InputError(f"--mlflow is the address of a web page, http:// or https://, found {url!r}.")
    return url


def _script() -> Path:
    spec = find_spec("assay_dashboard")
    assert spec is not None, "the package is installed with assay"
    assert spec.origin is not None, "it is a folder with an __init__.py"
    return Path(spec.origin).with_name("app.py")


def _path(first: str) -> str:
    """The import path of this process, so that the child sees the same packages."""
    return ":".join(dict.fromkeys([first, *filter(None, sys.path)]))
