"""`assay init`: a working study file for a folder of one's own images."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import DEFAULT_CACHE, Cache

__all__ = ["init", "register"]

Images = Annotated[
    Path,
    typer.Option("--images", metavar="FOLDER", help="Folder with images, such as good/, defect/ and masks/."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="Study file to write; default: the folder's name."),
]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: assay init --images ~/surfaces --output surfaces.yaml")(init)


def init(*, images: Images, output: Output = None, cache: Cache = DEFAULT_CACHE) -> None:
    """Look at a folder of your own images and write a study file for it, with comments.

    Normal and defective images lie in folders named good, ok or normal, and defect, ng, bad or anomaly;
    masks, where there are some, in masks, ground_truth or labels. Nothing in the folder is changed.
    """
    from assay.cli.live import LiveView
    from assay.cli.output import console
    from assay.study.starter import starter_name, starter_study
    from trainables.data.survey import survey_images
    from trainables.errors import InputError

    folder = images.expanduser().resolve()
    path = output or Path(f"{starter_name(folder.name)}.yaml")
    if path.exists():
        raise InputError(f"{path} exists already and is not replaced. Choose another --output, or remove it.")
    with LiveView(console(stderr=True)) as view:
        view.message(f"looking at {folder}")
        survey = survey_images(folder, cache)
        text = starter_study(survey, starter_name(path.stem))
    _write(path, text)
    counts = f"{survey.normal} normal and {survey.defective} defective images, {survey.with_mask} with a mask"
    typer.echo(f"{path}: {counts}")
    for finding in survey.manifest.findings:
        typer.echo(f"warning: {finding.text}")
    typer.echo("next:")
    typer.echo(f"  assay run {shlex.quote(str(path))} --data {shlex.quote(str(folder))}")
    typer.echo(f"  assay report {starter_name(path.stem)}")


def _write(path: Path, text: str) -> None:
    from trainables.errors import InputError

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}. Choose another --output.") from error
