"""`assay data check`: all findings about a data set at once, before a study is written for it."""

from __future__ import annotations

from typing import Annotated

import typer

from assay.cli.options import DEFAULT_CACHE, Cache, Data

__all__ = ["check", "register"]

Reader = Annotated[str, typer.Argument(metavar="READER", help="Name of a reader, e.g. kolektorsdd.")]
Place = Annotated[str | None, typer.Option("--path", metavar="PATH", help="Folder or file below the root.")]
Classes = Annotated[
    str | None, typer.Option("--classes", metavar="A,B", help="Defect classes to keep, with commas between.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Look at data sets.",
        no_args_is_help=True,
        epilog="Example: assay data check mtd --data ~/surfaces",
    )
    group.command(epilog="Example: assay data check mtd --data ~/surfaces --classes blowhole,crack")(check)
    app.add_typer(group, name="data")


def check(
    reader: Reader,
    *,
    data: Data = None,
    path: Place = None,
    classes: Classes = None,
    cache: Cache = DEFAULT_CACHE,
) -> None:
    """Read every file of a data set and list all findings, with counts by class, split and size.

    Exit code 0: usable (perhaps with warnings), 2: it has errors.
    """
    from assay.cli.live import LiveView
    from assay.cli.output import console

    names = [name.strip() for name in classes.split(",")] if classes else None
    with LiveView(console(stderr=True)) as view:
        view.message(f"reading {reader}")
        from trainables.data import DataSpec, check_data

        spec = DataSpec.model_validate({"reader": reader, "path": path, "classes": names})
        report = check_data(spec, data, cache)
    typer.echo(str(report))
    if not report.usable:
        raise typer.Exit(2)
