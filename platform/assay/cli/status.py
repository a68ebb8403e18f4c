"""`assay status`: how far the studies of a storage are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import DEFAULT_STORAGE, Storage

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from assay.cli.watch import Snapshot, Watch
    from assay.results import Store
    from assay.study import Plan

__all__ = ["register", "status"]

_FAILURES = 20  # listed one by one

StudyName = Annotated[
    str | None, typer.Argument(metavar="[STUDY]", help="A study's name or file; default: all studies.")
]
Once = Annotated[bool, typer.Option("--once", help="Print the state and end, instead of following it.")]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: assay status quickstart --once")(status)


def status(study: StudyName = None, once: Once = False, storage: Storage = DEFAULT_STORAGE) -> None:
    """Show what is finished, what trains (epoch, score, time left), what failed and what is planned.

    Follows a running study until it is complete or until Ctrl-C, which ends the display, not the study.
    """
    from assay.cli.lookup import stored_plan, study_name
    from assay.cli.output import console
    from assay.results import Store

    store, out = Store(storage), console()
    if study is None:
        _list(store, out)
        return
    from assay.cli.watch import Watch

    plan = stored_plan(store, study_name(store, study))
    watch = Watch(store, plan.trials)
    snapshot = watch.look()
    if once or not out.is_terminal or not snapshot.planned + len(snapshot.running):
        out.print(_page(plan, watch, snapshot))
    else:
        _follow(plan, watch, snapshot, out)


def _list(store: Store, out: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from assay.cli.lookup import stored_plan
    from assay.cli.watch import Watch
    from trainables.errors import InputError

    names = store.studies()
    if not names:
        out.print(f"no study was run into {store.uri} yet")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("study", "trials", "finished", "running", "failed", "planned", "question"):
        table.add_column(title, overflow="fold", justify="right" if title in _NUMBERS else "left")
    for name in names:
        try:
            plan = stored_plan(store, name)
        except InputError:
            table.add_row(Text(name), "–", "–", "–", "–", "–", "never started")
            continue
        now = Watch(store, plan.trials).look()
        counts = (now.total, now.counts.get("finished", 0), len(now.running), now.counts.get("failed", 0))
        table.add_row(Text(name), *map(str, counts), str(now.planned), Text(plan.study.question))
    out.print(table)


_NUMBERS = {"trials", "finished", "running", "failed", "planned"}


def _follow(plan: Plan, watch: Watch, snapshot: Snapshot, out: Console) -> None:
    from rich.live import Live

    try:
        with Live(_page(plan, watch, snapshot), console=out, refresh_per_second=4) as live:
            while snapshot.planned + len(snapshot.running):
                time.sleep(watch.pause)
                snapshot = watch.look()
                live.update(_page(plan, watch, snapshot))
    except KeyboardInterrupt:
        return


def _page(plan: Plan, watch: Watch, snapshot: Snapshot) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from assay.cli.live import render

    parts: list[RenderableType] = [
        Text(f"{plan.study.study}: {plan.study.question}", style="bold"),
        render(snapshot, plan.study.metrics.primary),
    ]
    lost = [record for record in watch.records.values() if record.status != "finished"]
    for record in lost[:_FAILURES]:
        text = f"{record.id} {record.trial.get('cell')} {record.status}: {record.reason or 'no reason noted'}"
        parts.append(Text(text, style="red" if record.status == "failed" else "yellow"))
    if len(lost) > _FAILURES:
        parts.append(Text(f"and {len(lost) - _FAILURES} more without a result"))
    if any(record.status == "failed" for record in lost):
        parts.append(Text("`assay logs TRIAL` shows why; `assay run STUDY --retry failed` tries again."))
    return Group(*parts)
