"""`assay data check`: all findings about a data set at once, before a study is written for it."""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from assay.cli.answers import AsJson, answers
from assay.cli.files import check_picture
from assay.cli.options import DEFAULT_CACHE, Cache, Data, as_path
from assay.cli.output import console
from trainables.errors import InputError

if TYPE_CHECKING:
    from trainables.data import DataSpec

__all__ = ["BinaryPhotos", "Options", "White", "group", "read_options", "read_white", "write_sheet"]

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
    """``["train_items=5"]`` as ``{"train_items": 5}``."""
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
