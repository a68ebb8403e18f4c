"""Options that several commands share: one spelling, one environment variable, one help text."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from trainables.errors import InputError

__all__ = [
    "DEFAULT_CACHE",
    "DEFAULT_STORAGE",
    "Cache",
    "Data",
    "NewFile",
    "Storage",
    "StoredStudy",
    "StudyFile",
    "as_path",
    "in_use",
    "not_empty",
]

DEFAULT_STORAGE = "./assay-storage"
DEFAULT_CACHE = Path("~/.cache/assay")


def in_use(command: str, *, storage: str = DEFAULT_STORAGE, tracking_uri: str | None = None) -> str:
    """``command`` with the options in use, so that it works as printed.

    What the environment sets already is left out, and with it the passwords that a URI may hold there.
    """
    from assay.storage.redaction import redact

    chosen = {
        ("--storage", "ASSAY_STORAGE"): None if storage == DEFAULT_STORAGE else storage,
        ("--tracking-uri", "MLFLOW_TRACKING_URI"): tracking_uri,
    }
    for (option, variable), value in chosen.items():
        if value is not None and value != os.environ.get(variable):
            command += f" {option} {shlex.quote(redact(value))}"
    return command


def not_empty(text: str) -> str:
    """A path or URI as it was typed.

    Raises:
        InputError: If it is empty, which Python takes for the current folder.
    """
    if not text:
        raise InputError("a path is not empty, found ''. Name a file, or a folder (. is this one).")
    return text


def as_path(text: str) -> Path:
    """A path of this machine with its `~`, which shells leave as it is after `=`, in quotes and in variables.

    Raises:
        InputError: If it is empty, or a URI, of which a path has one slash left.
    """
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(text), re.IGNORECASE):
        from assay.storage.redaction import redact

        raise InputError(  # which typer prints
            f"it is a path on this machine, found the URI {redact(str(text))}. Mount what it names, or copy "
            "from there or to there."
        )
    # Unlike `Path.expanduser` it leaves the `~` of nobody's home as a name.
    return Path(os.path.expanduser(not_empty(str(text))))


def _found_study(text: Path) -> Path:
    """The study's file; a remark goes to stderr where the user may have meant another one."""
    from assay.study.shipped import find_study

    study = find_study(text)
    if study.remark:
        typer.echo(study.remark, err=True)
    return study.path


Storage = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="ASSAY_STORAGE",
        parser=not_empty,
        metavar="URI",
        help="Where results lie: a folder, or a URI that pyarrow knows (s3://bucket/assay).",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar="ASSAY_DATA",
        metavar="ROOT",
        parser=as_path,
        help="Folder below which the data sets lie. Not needed for the synthetic reader.",
    ),
]
Cache = Annotated[
    Path,
    typer.Option(
        "--cache",
        envvar="ASSAY_CACHE",
        metavar="FOLDER",
        parser=as_path,
        help="Where decoded images and unpacked archives are kept on this machine.",
    ),
]
NewFile = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", parser=as_path, help="Write here, not to stdout."),
]
StoredStudy = Annotated[str, typer.Argument(metavar="STUDY", help="A study's name or file.")]
StudyFile = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY",
        parser=as_path,
        callback=_found_study,
        help="A study file (YAML), or the name of a study that comes with assay.",
        show_default=False,
    ),
]
