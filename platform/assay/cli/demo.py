"""`assay demo`: the dashboard on a finished study that comes with the program."""

from __future__ import annotations

import typer

from assay.cli.dashboard import Port, serve_pages

__all__ = ["demo", "register"]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: assay demo --port 8600")(demo)


def demo(port: Port = 8501) -> None:
    """Look at a finished study in a browser before anything is trained. Ctrl-C ends it.

    The study is the quickstart as it ended: what do masks buy, and which of SegDecNet's additions can go?
    """
    import tempfile

    from assay.demo import unpack_demo

    with tempfile.TemporaryDirectory(prefix="assay-demo-") as folder:
        unpack_demo(folder)
        typer.echo(f"the quickstart study lies in {folder} until the pages end")
        serve_pages(folder, port)
