"""`assay dashboard`, `demo` and `mlflow`: pages in a browser, served by a child of the command.

One sentence is printed when the server cannot start, and one when it is up.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from assay.cli.options import (
    ANOTHER_TRACKING,
    DEFAULT_CACHE,
    DEFAULT_STORAGE,
    Cache,
    Storage,
    Tracking,
    study_name,
)
from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.storage import Store

__all__ = [
    "EVERYWHERE",
    "Port",
    "address_of",
    "dashboard",
    "demo",
    "mlflow",
    "only_here",
    "require_place",
    "serve",
]


# Dashboard ---------------------------------------------------------------------------------------------


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
    from assay.storage import Store
    from assay.storage.redaction import holds_credentials

    require_place(host, port)
    store = Store.open(storage)
    store.require_root()
    if holds_credentials(mlflow):  # its links stand in every page
        raise InputError(
            f"--mlflow is shown to all who see the pages, and {mlflow} holds credentials. Leave them out."
        )
    if urlsplit(mlflow).scheme not in {"http", "https"}:
        raise InputError(f"--mlflow is the address of a web page, http:// or https://, found {mlflow!r}.")

    # The script is a file of the installed package, which the server runs.
    spec = find_spec("assay_dashboard")
    assert spec is not None, "the package is installed with assay"
    assert spec.origin is not None, "it is a folder with an __init__.py"
    script = Path(spec.origin).with_name("app.py")
    place = {"server.address": host, "server.port": str(port)}
    flags = [f"--{name}={value}" for name, value in {**_FLAGS, **place}.items()]
    command = [sys.executable, "-m", "assay_dashboard", "run", str(script), *flags]
    command += ["--", "--storage", store.uri, "--mlflow", mlflow]
    shared = not only_here(host)
    only_read = shared if read_only is None else read_only
    if only_read:
        command.append("--read-only")
    if shared:
        address = address_of(socket.gethostname() if host in EVERYWHERE else host, port)
        stop = (
            "Buttons that stop trainings are off."
            if only_read
            else "They can stop trainings: leave out --no-read-only to take the buttons away."
        )
        typer.echo(
            f"--host {host}: everybody who reaches {address} reads all studies of this storage. There are no "
            f"accounts, and nothing is encrypted. {stop}"
        )
    # The import path of this process, so that the child sees the same packages; streamlit puts the script's
    # own folder on the path, not the one above.
    imported = dict.fromkeys([str(script.parents[1]), *filter(None, sys.path)])
    serve(
        "the dashboard",
        command,
        host,
        port,
        health="/_stcore/health",
        takes="3 s",
        environment={"PYTHONPATH": ":".join(imported)},
    )


def demo(port: Port = 8501) -> None:
    """Look at a finished study in a browser before anything is trained. Ctrl-C ends it.

    The study is the quickstart as it ended: what do masks buy, and which of SegDecNet's additions can go?
    """
    import tempfile

    from assay.demo.demo import unpack_demo

    with tempfile.TemporaryDirectory(prefix="assay-demo-") as folder:
        unpack_demo(folder)
        typer.echo(f"the quickstart study lies in {folder} until the pages end")
        dashboard(port, storage=folder)


# MLflow: its pages on the runs of a storage, and the replay of records into it -------------------------


SyncedStudy = Annotated[
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
        help="With --models: register the best model on validation images in MLflow, under the study's name.",
    ),
]
MlflowHost = Annotated[str, typer.Option("--host", help="Address to listen on.")]


def mlflow(
    study: SyncedStudy = None,
    *,
    sync: Sync = False,
    models: Models = False,
    register: Register = False,
    host: MlflowHost = "127.0.0.1",
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
    from assay.analysis.results.reading import read_results
    from assay.storage.lease import holder
    from assay.storage.plans import stored_plan
    from assay.tracking import MlflowSync

    names = [study_name(store, study)] if study else store.studies()
    if not names:
        typer.echo(f"no study was run into {store.uri} yet")
        return
    mlflow_sync = MlflowSync(uri, store)

    # All studies are looked at before the first is replayed, so that nothing is written if one of them is
    # being trained.
    for name in names:
        note = holder(store, name)
        if note is not None:  # two that log one trial at once would make two runs of it
            raise InputError(
                f"one process at a time logs a study in MLflow, and process {note.pid} on {note.host} runs "
                f"{name} and does so. Wait for its end, or name another study."
            )
    complete = True
    for name in names:
        results = read_results(store, name)
        report = mlflow_sync.sync(results)
        typer.echo(f"{name}: {report.new} new, {report.already} known in {mlflow_sync.uri}")
        for trouble in (*report.failed, *filter(None, [report.away]), *report.notes):
            typer.echo(f"  {trouble}", err=True)
        complete = complete and report.complete
        if cache is not None and report.away is None:
            from assay.tracking.models import log_models, register_best_model  # MLflow and torch

            for model in log_models(store, stored_plan(store, name), uri, cache):
                trial = f"{model.record.trial['cell']}, seed {model.record.trial['seed']}"
                if model.trouble:
                    typer.echo(f"  {trial}: {model.trouble}", err=True)
                else:
                    typer.echo(f'  {trial}: mlflow.pyfunc.load_model("{model.uri}")')
                complete = complete and not model.trouble
            if register:
                typer.echo(f"  the best model: {register_best_model(store, results, uri)}")
    if not complete:
        raise typer.Exit(1)


def _serve(store: Store, uri: str, host: str, port: int) -> None:
    from assay.storage.mlflow_sync_state import study_address
    from assay.tracking import complete_file, ui_command, ui_environment, why_refused

    # What is wrong with the address is told before a server is started on it.
    if why := why_refused(uri):
        raise InputError(f"MLflow cannot open {uri}: {why}. {ANOTHER_TRACKING}")
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


# A server as a child -----------------------------------------------------------------------------------


# The addresses that mean all of this machine → the one that its own browser opens.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_DIE_WITH_PARENT = 1  # prctl
_SLOW_START = 5.0  # seconds between two signs of life while the server starts


def require_place(host: str, port: int) -> None:
    """See that a server can listen on an address.

    Raises:
        InputError: Naming the option that is at fault.
    """
    elsewhere = InputError(
        f"--host is an address or a name of this machine, found {host!r}. Leave it out for this machine "
        "alone, or write 0.0.0.0 for all of its addresses."
    )
    if not host:
        raise elsewhere

    # Only to listen there tells for sure, and the error says which of host and port is at fault.
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except UnicodeError:  # of what no name can be
        raise elsewhere from None
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise elsewhere from None
        why = os.strerror(error.errno)
        raise InputError(f"cannot listen on {host}:{port}: {why}. Choose another --port.") from None


def address_of(host: str, port: int) -> str:
    """The address to open in a browser, on this machine where the server listens everywhere."""
    shown = EVERYWHERE.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def only_here(host: str) -> bool:
    """True if nobody but this machine reaches ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(
    name: str,
    command: Sequence[str],
    host: str,
    port: int,
    *,
    health: str,
    takes: str,
    environment: Mapping[str, str],
    path: str = "",
) -> None:
    """Run a server until Ctrl-C, SIGTERM or its own end, and print its address once it answers.

    Args:
        name: Its name in messages.
        command: Program and arguments.
        host: Address that it listens on, as :func:`require_place` found it.
        port: Port that it listens on.
        health: Path that answers when it is up.
        takes: Time until then, in words.
        environment: Variables on top of this process's own.
        path: Rest of the address that is printed.

    Raises:
        typer.Exit: With 1, if the server ends with an error.
    """
    import ctypes
    import subprocess
    from urllib.error import URLError
    from urllib.request import urlopen

    address = address_of(host, port)
    typer.echo(f"starting {name} on {address} (takes about {takes}; Ctrl-C ends it)")
    with_parent = None  # ended by the kernel where this process is killed: its port would stay taken
    if sys.platform == "linux":
        with_parent = partial(ctypes.CDLL(None).prctl, _DIE_WITH_PARENT, signal.SIGTERM, 0, 0, 0)
    server = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        preexec_fn=with_parent,  # noqa: PLW1509 - a system call that takes no lock
    )
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server must not outlive us
    try:
        # Until it answers, a line every few seconds says that it is still starting.
        spoke, up = time.monotonic(), False
        while not up and server.poll() is None:
            try:
                with urlopen(f"{address}{health}", timeout=1):
                    up = True
                    typer.echo(f"{name} is up: open {address}{path}")
            except (URLError, OSError):
                time.sleep(0.3)
            if not up and time.monotonic() - spoke > _SLOW_START:
                spoke = time.monotonic()
                typer.echo("still starting")
        code = server.wait()
    except KeyboardInterrupt:
        return
    finally:
        server.terminate()
        server.wait()
        signal.signal(signal.SIGTERM, before)
    raise typer.Exit(1 if code else 0)
