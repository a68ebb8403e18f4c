"""`assay data check`, `data import` and `assay init`: from one's own images to a study."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from assay.cli.options import DEFAULT_CACHE, Cache, Data, as_path
from assay.cli.output import AsJson, answers, check_picture, console, create_file, writing
from trainables.errors import InputError

if TYPE_CHECKING:
    from trainables.data import DataSpec

__all__ = ["BinaryPhotos", "Options", "White", "group", "init", "read_options", "read_white", "write_sheet"]


Reader = Annotated[str, typer.Argument(metavar="READER", help="Name of a reader, e.g. kolektorsdd.")]
Place = Annotated[str | None, typer.Option("--path", metavar="PATH", help="Folder or file below the root.")]
Classes = Annotated[
    str | None, typer.Option("--classes", metavar="A,B", help="Defect classes to keep, with commas between.")
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="Further setting of the reader, a text, JSON or a map such as {1: hole}; may be repeated.",
    ),
]
Sheet = Annotated[
    Path | None,
    typer.Option(
        "--sheet",
        metavar="FILE",
        parser=as_path,
        help="PNG with masks drawn over their images, the worst first.",
    ),
]
White = Annotated[
    str, typer.Option("--white", metavar="VALUE", help="Pixel value that is white: auto, 1023, 4095 …")
]

BinaryPhotos = Annotated[
    bool, typer.Option("--binary-photos", help="Images that look like masks of other images are photos.")
]
Source = Annotated[
    Path,
    typer.Argument(
        metavar="ANNOTATIONS", parser=as_path, help="File of annotations, or a folder with such files."
    ),
]
Images = Annotated[
    Path, typer.Option("--images", metavar="FOLDER", parser=as_path, help="Folder of the images.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace masks and a table that exist.")]

group = typer.Typer(
    help="Look at data sets, and make masks of annotations.",
    no_args_is_help=True,
    epilog="Example: assay data check mtd --data ~/surfaces",
)


@group.command(epilog="Example: assay data check mtd --data ~/surfaces --classes blowhole,crack")
def check(
    reader: Reader,
    *,
    data: Data = None,
    path: Place = None,
    classes: Classes = None,
    option: Options = None,
    sheet: Sheet = None,
    white: White = "auto",
    binary_photos: BinaryPhotos = False,
    as_json: AsJson = False,
    cache: Cache = DEFAULT_CACHE,
) -> None:
    """Read every file of a data set and list all findings, with counts by class, split and size.

    Exit code 0: usable (perhaps with warnings), 2: it has errors.
    """
    from assay.cli.live import LiveView

    check_picture("--sheet", sheet)
    names = [name.strip() for name in classes.split(",")] if classes else None
    with LiveView(console(stderr=True)) as view:
        view.message(f"reading {reader}")
        from trainables.data import DataSpec, check_data

        settings: dict[str, Any] = {
            "reader": reader,
            "path": path,
            "classes": names,
            "white": read_white(white),
            "binary_photos": binary_photos,
        }
        spec = DataSpec.model_validate({**settings, "options": read_options(option or [])})
        try:
            report = check_data(spec, data, cache)
        except InputError as error:
            raise InputError(f"{error}{_way_here(str(error), spec, data, cache)}") from error
        shown = write_sheet(spec, data, cache, sheet) if sheet is not None else ""
    if as_json:
        from assay.report.answers.checks import data_answer

        answers().give(data_answer(reader, report))
    else:
        typer.echo(str(report))
    if shown:
        typer.echo(shown)

    # Warnings leave the data usable: the exit code speaks of errors alone.
    if not report.usable:
        raise typer.Exit(2)


def _way_here(fault: str, spec: DataSpec, data: Path | None, cache: Path) -> str:
    """Options of this command for the keys of a study file that a fault names; "" where it names none."""
    from trainables.data.inspect.layouts import find_layout

    options = {"data.path": "--path PATH"} if spec.path is None else {}
    options |= {} if spec.options else {"data.options": "--option NAME=VALUE"}
    named = [f"{key} is {option}" for key, option in options.items() if key in fault]
    if not named:
        return ""

    # If the folder has a layout that is known, the words to type can be given as they are.
    if data is not None:
        with suppress(InputError):
            layout = find_layout(data, cache)
            words = [] if layout.path is None else [f"--path {shlex.quote(layout.path)}"]
            words += [f"--option {shlex.quote(f'{key}={value}')}" for key, value in layout.options.items()]
            if layout.reader == spec.reader and words:
                return f" Here: {' '.join(words)}. `assay init --images {shlex.quote(str(data))}` finds that."
    return f" Here {' and '.join(named)}."


def write_sheet(spec: DataSpec, data: Path | None, cache: Path, path: Path) -> str:
    """Write the contact sheet of masks, and say what it shows."""
    from assay.study.names import counted
    from trainables.data.inspect.contact_sheet import write_contact_sheet

    count = write_contact_sheet(spec, data, cache, path)
    return f"{path}: {counted(count, 'mask')}, the worst first" if count else f"{path}: no mask to draw"


@group.command("import", epilog="Example: assay data import found/labelme --images photos")
def import_(source: Source, *, images: Images, replace: Replace = False) -> None:
    """Make masks of the annotations of a labelling tool: LabelMe, COCO, Label Studio (JSON), CVAT (XML).

    Where images lie in good/ and defect/, masks go to masks/. Elsewhere masks and a table are written beside
    the images, for reader table. Everything is checked first: with a fault nothing is written (exit code 2).
    """
    from assay.study.names import counted
    from trainables.data.annotations.to_masks import import_annotations

    imported = import_annotations(source, images, replace=replace)
    typer.echo(f"{counted(imported.images, 'image')} annotated, {counted(imported.masks, 'mask')} written")
    for remark in imported.remarks:
        typer.echo(f"warning: {remark}")

    # What the study has to say to read these masks is printed as it stands there.
    if imported.table is not None:
        typer.echo(f"data: {{reader: table, path: {imported.table.name}, splits: per_seed}}")
    if imported.classes:
        classes = ", ".join(f"{value}: {name}" for value, name in imported.classes.items())
        typer.echo(f"with several classes, in `data.options`: {{mask_classes: {{{classes}}}}}")
    if imported.ignored:
        kept = ", ".join(name for name in imported.classes.values() if name not in imported.ignored)
        typer.echo(
            f"{', '.join(imported.ignored)} is neither defect nor background where `data` has: "
            f"{{classes: [{kept}], others: ignore}}"
        )


def read_white(text: str) -> float | Literal["auto"]:
    """A white point as the command line takes it: ``auto`` or a number above 0."""
    try:
        white = "auto" if text == "auto" else float(text)
    except ValueError:
        white = 0.0
    if white != "auto" and not 0 < white < inf:
        raise InputError(f"--white is auto or a pixel value above 0, such as 4095, found {text!r}.")
    return white


def read_options(options: list[str]) -> dict[str, Any]:
    """Read ``["train_items=5"]`` as ``{"train_items": 5}``."""
    settings: dict[str, Any] = {}
    for option in options:
        name, sign, value = option.partition("=")
        if not sign:
            raise InputError(f"--option is NAME=VALUE, such as category=bottle, found {option!r}")
        settings[name] = _option_value(value)
    return settings


def _option_value(text: str) -> Any:
    """JSON, or a map in YAML as a study file has it (``{1: hole}``); everything else is a text.

    Other YAML would take a folder called 2024_01 for a number, and a pattern such as [a-z]* for a list.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return json.loads(text)
    except ValueError:
        if not text.startswith("{"):
            return text
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError):  # the latter of a date that there is not
        return text
    return value if isinstance(value, dict) and None not in value.values() else text  # {a,b} names nothing


# Init: a study for a folder of images, or a plug-in with a method of one's own -------------------------


ImageFolder = Annotated[
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
    images: ImageFolder = None,
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
    # Options about images mean nothing to a plug-in. They are refused beside it, and not lost in silence.
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
    from assay.study.file.starter import starter_name, starter_study
    from trainables.data.inspect.mask_statistics import mask_table
    from trainables.data.inspect.survey import survey_images

    folder = images.resolve()
    path = output or Path(f"{starter_name(folder.name)}.yaml")
    _refuse_existing(path)
    with LiveView(console(stderr=True)) as view:
        view.message(f"looking at {folder}")
        survey = survey_images(folder, cache, options, white, binary_photos=binary_photos)
        text = starter_study(survey, starter_name(path.stem), labels=labels)
        # A picture of that name may be the user's, or of another study.
        sheet = path.with_name("contact_sheet.png") if survey.with_mask else None
        if sheet is not None and sheet.exists():
            sheet = path.with_name(f"{path.stem}.contact_sheet.png")
            _refuse_existing(sheet)
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


def _write_method(name: str, output: Path | None) -> None:
    from assay.production.folder import new_folder, write_inside
    from assay.study.file.starter import method_files

    files = method_files(name)
    folder = output or Path(name)
    _refuse_existing(folder)
    with writing(folder), new_folder(folder) as unfinished:
        for path, text in files.items():
            write_inside(unfinished / path, text.encode())
    typer.echo(f"{folder}: a plug-in with the method {name}, {len(files)} files")
    typer.echo("next:")
    typer.echo(f"  cd {shlex.quote(str(folder))}")
    # A bare `python` may be another interpreter than the one that holds assay.
    python = "python" if shutil.which("python") == sys.executable else shlex.quote(sys.executable)
    typer.echo(f"  {python} -m pytest")
    typer.echo("  assay run study.yaml")


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise InputError(f"{path} exists already and is not replaced. Choose another --output, or remove it.")
