"""Options that several commands share: one spelling, one environment variable, one help text."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "DEFAULT_CACHE",
    "DEFAULT_STORAGE",
    "Cache",
    "Data",
    "Storage",
    "StudyFile",
    "in_use",
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


def _expanded(path: Path | None) -> Path | None:
    """A `~` that came from the environment, where no shell replaces it.

    Raises:
        InputError: If it is no path but a URI, of which a path has one slash left.
    """
    if path is None:
        return None
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(path), re.IGNORECASE):
        from assay.storage.redaction import redact
        from trainables.errors import InputError

        raise InputError(
            f"data and cache are folders that this machine sees, found the URI {redact(str(path))}. Mount "
            "what it names, or copy it here."
        )
    return path.expanduser()


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
        callback=_expanded,
        help="Folder below which the data sets lie. Not needed for the synthetic reader.",
    ),
]
Cache = Annotated[
    Path,
    typer.Option(
        "--cache",
        envvar="ASSAY_CACHE",
        metavar="FOLDER",
        callback=_expanded,
        help="Where decoded images and unpacked archives are kept on this machine.",
    ),
]
StudyFile = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY",
        callback=_found_study,
        help="A study file (YAML), or the name of a study that comes with assay.",
        show_default=False,
    ),
]
