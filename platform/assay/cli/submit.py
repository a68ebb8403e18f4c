"""`assay submit`: a study as a job of a Ray cluster, with the parts that every such command has.

A study is handed over as `assay run` with options, in which storage, data and cache are named as the nodes
see them. A command with another way to a cluster takes the options below, checks them with
:func:`run_options` and passes what it handed over to :func:`follow_job`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from assay.api.planning import read_plan
from assay.cli.options import Data, RetryOption, StudyFile, Tracking, in_use, not_empty
from assay.faults import Interrupted
from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.study import Study

__all__ = [
    "Follow",
    "NodeCache",
    "NodePython",
    "SharedStorage",
    "SubmittedJob",
    "absolute_path",
    "follow_job",
    "read_study",
    "run_options",
    "submit",
]

SharedStorage = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="ASSAY_STORAGE",
        parser=not_empty,
        metavar="URI",
        help="Where results lie: a URI (s3://bucket/assay), or the path of a folder that all nodes share.",
        show_default=False,
    ),
]
NodeCache = Annotated[
    str | None,
    typer.Option(
        "--cache",
        metavar="FOLDER",
        parser=not_empty,
        help="Of each node.",
        show_default="~/.cache/assay there",
    ),
]
NodePython = Annotated[
    str,
    typer.Option(
        "--python",
        metavar="PATH",
        parser=not_empty,
        help="The Python on the cluster's nodes.",
        show_default="the path of the one that runs here",
    ),
]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Show what the job prints until it ends.")]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="The cluster's dashboard, http://head:8265.",
        show_default="RAY_API_SERVER_ADDRESS or RAY_ADDRESS",
    ),
]


def submit(
    study: StudyFile,
    *,
    storage: SharedStorage,
    address: Address = None,
    data: Data = None,
    retry: RetryOption = None,
    cache: NodeCache = None,
    tracking_uri: Tracking = None,
    python: NodePython = sys.executable,
    follow: Follow = True,
) -> None:
    """Run a study as a job of a Ray cluster: `assay run` there, with the code and the study of this machine.

    The job goes on when this command ends. Storage and data are named as the nodes see them. Exit code: that
    of `assay run`. 130 if the job was stopped, or is no longer followed; with --no-follow 0 once it is there.
    """
    arguments = run_options(storage, data=data, cache=cache, tracking_uri=tracking_uri, retry=retry)
    planned = read_study(study)
    absolute_path("python", python)
    from assay.engine.cluster.jobs import submit as submit_job

    say = partial(typer.echo, err=True)
    job = submit_job(study, planned, arguments, address=address, python=python, say=say)
    follow_job(job, planned.study, storage, follow=follow)


# What every way to a cluster shares --------------------------------------------------------------------


class SubmittedJob(Protocol):
    """A study that was handed to a cluster."""

    @property
    def id(self) -> str:
        """Id of the job, as the cluster calls it."""
        ...

    @property
    def log_command(self) -> str:
        """The command that shows what the job prints."""
        ...

    @property
    def stop_command(self) -> str:
        """The command that takes the job from the cluster, whatever it does."""
        ...

    def follow(self, say: Callable[[str], None]) -> int:
        """Pass on what the job prints until it ends, and return its exit code; leaving early ends no job."""
        ...


class LeftRunning(Interrupted):
    """Ctrl-C ended the following of a job, which was said: the job itself was not interrupted."""

    @property
    def line(self) -> str:
        return ""


def read_study(file: Path) -> Study:
    """The study in a file, whose rules are checked here; its data are looked at on the cluster.

    Raises:
        InputError: If the study breaks a rule.
    """
    return read_plan(file, data=None, cache=Path(), with_data=False, say=lambda message: None).study


def run_options(
    storage: str, *, data: Path | None, cache: str | None, tracking_uri: str | None, retry: str | None
) -> list[str]:
    """The options with which the cluster calls `assay run`.

    Raises:
        InputError: If a path is not absolute, or a URI holds a password.
    """
    from assay.storage import Store
    from assay.storage.redaction import holds_credentials

    if "://" not in storage and not Path(storage).is_absolute():
        raise InputError(
            "the storage of a submitted study is a URI, or the absolute path of a folder that all nodes "
            f"share; found {storage}."
        )
    Store(storage)  # refuses schemes that nobody can open, and passwords

    # All is named as the nodes see it, and nothing secret is among it: a job's command can be read by
    # everybody who sees the cluster.
    arguments = ["--storage", storage]
    if data is not None:
        arguments += ["--data", absolute_path("data", str(data))]
    if cache is not None:
        arguments += ["--cache", absolute_path("cache", cache)]
    if tracking_uri is not None:
        if holds_credentials(tracking_uri):
            raise InputError(
                f"a job's command can be read by all who see the cluster, and {tracking_uri} holds a "
                "password. Set MLFLOW_TRACKING_URI on the nodes instead, and leave --tracking-uri out."
            )
        arguments += ["--tracking-uri", tracking_uri]
    if retry is not None:
        arguments += ["--retry", retry]
    return arguments


def absolute_path(option: str, path: str) -> str:
    """Check that ``path`` is one that the nodes find wherever they are.

    Raises:
        InputError: If it is relative.
    """
    if not Path(path).is_absolute():
        raise InputError(f"--{option} of a submitted study is an absolute path on the nodes, found {path}.")
    return path


def follow_job(job: SubmittedJob, study: str, storage: str, *, follow: bool) -> None:
    """Show a job until it ends, and exit with its code; or say how to see and stop it."""

    def print_next_commands() -> None:
        typer.echo(f"see how far it is:  {in_use(f'assay status {study}', storage=storage)}")
        typer.echo(f"see what it prints: {job.log_command}")
        typer.echo(f"stop it:            {in_use(f'assay stop {study}', storage=storage)}")
        typer.echo(f"before it begins:   {job.stop_command}")  # the storage knows of nobody until then

    try:
        typer.echo(f"job {job.id}")
        if not follow:
            print_next_commands()
            return
        code = job.follow(partial(typer.echo, nl=False))
    except KeyboardInterrupt:
        typer.echo("\nthe job runs on")
        print_next_commands()
        raise LeftRunning from None
    raise typer.Exit(code)
