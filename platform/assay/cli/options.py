"""Options that several commands share, and the way from what a user types to what is stored."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.analysis.results.results import StudyResults
    from assay.storage import Store

__all__ = [
    "ANOTHER_TRACKING",
    "DEFAULT_CACHE",
    "DEFAULT_STORAGE",
    "AnyTracking",
    "Cache",
    "CpusOption",
    "Data",
    "LocalOption",
    "NewFile",
    "ProcessesOption",
    "RetryOption",
    "Storage",
    "StoredStudy",
    "StudyFile",
    "Tracking",
    "as_path",
    "in_use",
    "not_empty",
    "refuse_processes_alone",
    "study_name",
    "study_results",
    "trial_id",
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
        # What the environment says already need not be typed.
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
    from assay.study.file.shipped import find_study

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
RetryOption = Annotated[
    Literal["failed"] | None, typer.Option("--retry", help="`failed`: try trials again that failed for good.")
]
CpusOption = Annotated[
    int | None,
    typer.Option(
        "--cpus",
        min=1,
        help="Cores of this machine that the study may use, with Ray or --local.",
        show_default="all",
    ),
]
LocalOption = Annotated[
    bool,
    typer.Option(
        "--local",
        help="Train on this machine without Ray: laptops, CI, where Ray cannot start. Several workers for a "
        "trial, shares of a GPU and pruning by epochs need Ray.",
    ),
]
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        "--processes",
        min=0,
        help="With --local: trainings at once. 0: in this process, where a debugger reaches them.",
        show_default="as many as cores allow",
    ),
]


ANOTHER_TRACKING = "Name another with --tracking-uri, or leave it out for SQLite beside the results."


def _readable_tracking(uri: str | None) -> str | None:
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


def _known_tracking(uri: str | None) -> str | None:
    """A tracking URI of a kind that MLflow knows: a study would train to its end before it hears otherwise.

    Raises:
        InputError: If MLflow knows no such kind, or as :func:`_readable_tracking` has it.
    """
    _readable_tracking(uri)
    if uri is not None:
        from assay.tracking import why_unknown

        if why := why_unknown(uri):
            raise InputError(f"MLflow cannot open {uri}: {why}. {ANOTHER_TRACKING}")
    return uri


def _tracking_option(check: Callable[[str | None], str | None]) -> Any:
    return typer.Option(
        "--tracking-uri",
        envvar="MLFLOW_TRACKING_URI",
        callback=check,
        metavar="URI",
        help="MLflow's store or server; default: SQLite beside the results.",
    )


Tracking = Annotated[str | None, _tracking_option(_known_tracking)]
# Of a command that says itself what is wrong with it.
AnyTracking = Annotated[str | None, _tracking_option(_readable_tracking)]


def refuse_processes_alone(processes: int | None, *, local: bool) -> None:
    """Refuse ``--processes`` without ``--local``."""
    if processes is not None and not local:
        raise typer.BadParameter(f"--processes goes with --local, found --processes {processes} alone.")


# From a name, a file or the start of an id to what is stored -------------------------------------------


def study_results(storage: str, text: str) -> StudyResults:
    """The study that was run into the storage at a URI; ``text`` is its name or its file.

    Raises:
        InputError: If no such study was ever run there, or what is there cannot be read.
    """
    import assay

    opened = assay.open(storage)
    return opened.study(study_name(opened.store, text)).results


def study_name(store: Store, text: str) -> str:
    """The name of a study that has a folder in ``store``; ``text`` is that name or the study's file.

    Raises:
        InputError: If no such study was ever run here.
    """
    name = text
    if text.endswith((".yaml", ".yml")):
        from assay.study import read_study

        name = read_study(as_path(text)).study
    if name in store.study_folders():  # of one without a plan the reader says more
        return name
    known = store.studies()
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"It holds: {', '.join(known[:20]) or 'none'}."
    raise InputError(
        f"the storage {store.uri} holds no study {name}. {hint} `assay run` trains a study, and --storage "
        "names another storage."
    )


def trial_id(store: Store, text: str, *, with_model: bool = False) -> str:
    """The id of the one stored trial that starts with ``text``. ``with_model``: the model is what is wanted.

    Raises:
        InputError: If no trial starts so, or several do.
    """
    trials = [known for known in store.trials() if text and known.startswith(text)]
    if len(trials) == 1:
        return trials[0]
    if not trials:
        way_out = ""
        if with_model:
            from assay.production.model import models_named

            way_out = models_named(store)
        raise InputError(
            f"no trial in {store.uri} has an id that starts with {text!r}. "
            f"{way_out or '`assay plan STUDY` lists them.'}"
        )
    raise InputError(
        f"{len(trials)} trials have an id that starts with {text!r}: {', '.join(trials[:5])} … "
        "Type more of it."
    )
