"""`assay init`: a working study for a folder of one's own images, or a plug-in with a method of one's own."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from assay.cli.data import BinaryPhotos, Options, White, read_options, read_white, write_sheet
from assay.cli.files import create_file, writing
from assay.cli.options import DEFAULT_CACHE, Cache, as_path
from assay.cli.output import console
from trainables.errors import InputError

__all__ = ["init"]

Images = Annotated[
    Path | None,
    typer.Option(
        "--images",
        metavar="FOLDER",
        parser=as_path,
        help="Folder with images, such as good/, defect/ and masks/.",
    ),
]
Method = Annotated[
    str | None,
    typer.Option("--method", metavar="NAME", help="Name of a method: writes a plug-in that trains as it is."),
]
Labels = Annotated[
    bool, typer.Option("--labels", help="Ask what to label next: nine cells of labels instead of one.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="PATH",
        parser=as_path,
        help="Study file, or folder of the plug-in; default: its name.",
    ),
]


def init(
    *,
    images: Images = None,
    method: Method = None,
    output: Output = None,
    labels: Labels = False,
    option: Options = None,
    white: White = "auto",
    binary_photos: BinaryPhotos = False,
    cache: Cache = DEFAULT_CACHE,
) -> None:
    """Write a study for a folder of your own images (--images), or a plug-in with a method (--method).

    Normal and defective images lie in folders named good, ok or normal, and defect, ng, bad or anomaly;
    masks, where there are some, in masks, ground_truth or labels. Nothing in the folder is changed.

    A plug-in is a folder with a small method that trains, a test, a study, and what makes it a package.
    """
    of_images = {
        "--labels": labels,
        "--option": option,
        "--white": white != "auto",
        "--binary-photos": binary_photos,
    }
    given = [name for name, value in of_images.items() if value]
    if method is not None and images is None and given:
        raise InputError(
            f"with --method a plug-in is written, which has no images, found {' and '.join(given)}. Leave "
            "that out, or name --images."
        )
    if images is not None and method is None:
        _write_study(
            images,
            output,
            read_options(option or []),
            read_white(white),
            cache,
            binary_photos=binary_photos,
            labels=labels,
        )
    elif method is not None and images is None:
        _write_method(method, output)
    else:
        named = "both" if images is not None else "neither"
        raise InputError(f"assay init takes --images FOLDER or --method NAME, found {named}.")


def _write_study(
    images: Path,
    output: Path | None,
    options: dict[str, Any],
    white: float | Literal["auto"],
    cache: Path,
    *,
    binary_photos: bool,
    labels: bool,
) -> None:
    from assay.cli.live import LiveView
    from assay.study.starter import starter_name, starter_study
    from trainables.data.inspect.mask_statistics import mask_table
    from trainables.data.inspect.survey import survey_images

    folder = images.resolve()
    path = output or Path(f"{starter_name(folder.name)}.yaml")
    _refuse_existing(path)
    with LiveView(console(stderr=True)) as view:
        view.message(f"looking at {folder}")
        survey = survey_images(folder, cache, options, white, binary_photos=binary_photos)
        text = starter_study(survey, starter_name(path.stem), labels=labels)
        sheet = _new_sheet(path) if survey.with_mask else None
        create_file(path, text.encode())
        try:
            shown = write_sheet(survey.spec, folder, cache, sheet) if sheet else ""
        except BaseException:  # half a start would stand in the way of the next one
            for file in filter(None, (path, sheet)):
                file.unlink(missing_ok=True)
            raise
    counts = f"{survey.normal} normal and {survey.defective} defective images, {survey.with_mask} with a mask"
    typer.echo(f"{path}: {counts}")
    typer.echo(f"pixels: {survey.manifest.pixels}")
    if survey.items:
        typer.echo(
            f"items: {survey.items} ({survey.spec.item}, by the files' names): no part is trained on and "
            f"tested. If each image is a part of its own, take `item` out of {path}"
        )
    for line in mask_table(survey.manifest.masks):
        typer.echo(f"  {line}")
    for finding in survey.manifest.findings:
        typer.echo(f"warning: {finding.text}")
    if survey.unkept_parts:
        typer.echo(
            f"warning: the data's own split is not kept, for it has {survey.unkept_parts}: {path} divides "
            "the images anew for every seed (splits: per_seed)"
        )
    if shown:
        typer.echo(f"look at {shown}")
    typer.echo("next:")
    typer.echo(f"  assay run {shlex.quote(str(path))} --data {shlex.quote(str(folder))}")
    typer.echo(f"  assay {'labels' if labels else 'report'} {starter_name(path.stem)}")


def _new_sheet(study: Path) -> Path:
    """Place of the contact sheet: a picture of that name may be the user's, or of another study."""
    sheet = study.with_name("contact_sheet.png")
    if sheet.exists():
        sheet = study.with_name(f"{study.stem}.contact_sheet.png")
        _refuse_existing(sheet)
    return sheet


def _write_method(name: str, output: Path | None) -> None:
    from assay.production.folder import new_folder, write_inside
    from assay.study.starter import method_files

    files = method_files(name)
    folder = output or Path(name)
    _refuse_existing(folder)
    with writing(folder), new_folder(folder) as unfinished:
        for path, text in files.items():
            write_inside(unfinished / path, text.encode())
    typer.echo(f"{folder}: a plug-in with the method {name}, {len(files)} files")
    typer.echo("next:")
    typer.echo(f"  cd {shlex.quote(str(folder))}")
    typer.echo(f"  {_python()} -m pytest")
    typer.echo("  assay run study.yaml")


def _python() -> str:
    """The interpreter that holds assay: a bare ``python`` may be another one."""
    same = shutil.which("python") == sys.executable
    return "python" if same else shlex.quote(sys.executable)


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise InputError(f"{path} exists already and is not replaced. Choose another --output, or remove it.")
