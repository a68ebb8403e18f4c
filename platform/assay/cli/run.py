"""`assay run`: train what is missing, and print the table."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.mlflow import Tracking
from assay.cli.options import DEFAULT_CACHE, DEFAULT_STORAGE, Cache, Data, Storage, StudyFile

if TYPE_CHECKING:
    from assay.engine import Outcome
    from assay.results import Store

__all__ = ["register", "run"]


class Retry(StrEnum):
    """What to try again although it has a record."""

    failed = "failed"


RetryOption = Annotated[
    Retry | None, typer.Option("--retry", help="`failed`: try trials again that failed for good.")
]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: assay run studies/ksdd_smoke.yaml --data ~/surfaces")(run)


def run(
    study: StudyFile,
    *,
    data: Data = None,
    retry: RetryOption = None,
    storage: Storage = DEFAULT_STORAGE,
    cache: Cache = DEFAULT_CACHE,
    tracking_uri: Tracking = None,
) -> None:
    """Train every trial that has no record yet, then print the table of the study.

    Run it again at any time, also after Ctrl-C or a crash: it trains what is missing and nothing else.
    Exit code 0: all trials have results, 1: some failed or are missing, 2: bad input, 130: interrupted.
    """
    from assay.cli.live import LiveView
    from assay.cli.output import console, duration

    out = console()
    with LiveView(out) as view:
        view.message(f"reading {study}")
        from assay.cli.planning import read_plan
        from assay.results import Store

        planned = read_plan(study, data=data, cache=cache, say=view.message)
        for warning in planned.warnings:
            out.print(f"warning: {warning}")
        store = Store(storage)
        view.message("loading the engine")
        from assay.engine import EngineOptions, run_study

        view.follow(planned, store)
        outcome = run_study(
            planned,
            store,
            EngineOptions(
                data_root=data,
                cache=cache.expanduser(),
                retry_failed=retry is not None,
                mlflow_uri=tracking_uri,
                on_message=view.message,
            ),
        )
    _print_answer(store, planned.study.study, outcome, storage)
    out.print(f"{_counts(outcome)} in {duration(view.seconds)}")
    raise typer.Exit(_code(outcome))


def _print_answer(store: Store, name: str, outcome: Outcome, storage: str) -> None:
    from assay.cli.options import DEFAULT_STORAGE
    from assay.cli.report import markdown

    if outcome.finished:
        typer.echo()
        typer.echo(markdown(store, name))
    where = "" if storage == DEFAULT_STORAGE else f" --storage {storage}"
    typer.echo()
    typer.echo(f"open the runs in MLflow:  assay mlflow{where}")
    typer.echo(f"write the report:         assay report {name}{where} --output report.md")


def _counts(outcome: Outcome) -> str:
    parts = {
        "finished": outcome.finished,
        "diverged": outcome.diverged,
        "pruned": outcome.pruned,
        "failed": outcome.failed,
        "missing": outcome.missing,
    }
    counts = ", ".join(f"{count} {name}" for name, count in parts.items() if count or name == "finished")
    return f"{counts}; {outcome.trained_now} trained now"


def _code(outcome: Outcome) -> int:
    if outcome.interrupted:
        return 130
    return 1 if outcome.failed or outcome.missing else 0
