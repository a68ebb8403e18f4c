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
    group.command(epilog="Example: assay data check mtd --data ~/surfaces --classes Blowhole,Crack")(check)
    app.add_typer(group, name="data")


def check(
    reader: Reader,
    data: Data = None,
    path: Place = None,
    classes: Classes = None,
    cache: Cache = DEFAULT_CACHE,
) -> None:
    """Read every file of a data set and list all findings, with counts by class, split and size.

    Exit code 0: usable (perhaps with warnings), 2: it has errors.
    """
    from trainables.data import check_data
    from trainables.data.spec import DataSpec

    names = tuple(name.strip() for name in classes.split(",")) if classes else None
    typer.echo(f"reading {reader} …", err=True)
    spec = DataSpec(reader=reader, path=path, classes=names)
    typer.echo(str(check_data(spec, data, cache.expanduser())))
