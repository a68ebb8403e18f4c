"""`assay run`: train what is missing, and print the table.

The plan is written before Ray is loaded, so that `assay status` and the dashboard can follow from the start.
What comes after the training (table, models that `keep` leaves out, MLflow) can be had later by other
commands, and no trouble with it loses a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from assay.cli.answers import FLAG, Answers, answers
from assay.cli.best import way_on
from assay.cli.forecast import format_truth
from assay.cli.mirror import Mirror
from assay.cli.mlflow import Tracking
from assay.cli.options import DEFAULT_CACHE, DEFAULT_STORAGE, Cache, Data, Storage, StudyFile, in_use
from assay.cli.output import console, duration
from assay.faults import exit_code_of
from assay.planning import read_plan
from assay.running import drop_models, train

if TYPE_CHECKING:
    from rich.console import Console

    from assay.analysis.results import StudyResults
    from assay.cli.webhook import Webhook
    from assay.engine import Outcome
    from assay.report.answers.progress import Look
    from assay.storage import Store
    from assay.study import Plan

__all__ = ["CpusOption", "LocalOption", "ProcessesOption", "run"]


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
EventsOption = Annotated[
    bool,
    typer.Option(FLAG, help="Print a line of JSON for each event, and no table (docs/json.md)."),
]
NotifyOption = Annotated[
    str | None,
    typer.Option(
        "--notify",
        envvar="ASSAY_WEBHOOK",
        metavar="URL",
        help="POST the study's status there when it ends, stalls or settles (docs/json.md).",
    ),
]


def run(
    study: StudyFile,
    *,
    data: Data = None,
    retry: RetryOption = None,
    storage: Storage = DEFAULT_STORAGE,
    cache: Cache = DEFAULT_CACHE,
    tracking_uri: Tracking = None,
    cpus: CpusOption = None,
    local: LocalOption = False,
    processes: ProcessesOption = None,
    as_json: EventsOption = False,
    notify: NotifyOption = None,
) -> None:
    """Train every trial that has no record yet, then print the table of the study.

    Run it again at any time, also after Ctrl-C or a crash: it trains what is missing and nothing else.
    Exit code 0: every trial has ended with a result (diverged and pruned are results too), or the study's
    budget has ended; 1: some failed or are missing, 2: bad input, a storage or cache that is full or away, or
    a Ray that does not start, 3: a part of Ray died under the study, 130: interrupted.
    """
    from assay.cli.live import LiveView

    if processes is not None and not local:
        raise typer.BadParameter(f"--processes goes with --local, found --processes {processes} alone.")
    with ExitStack() as stack, LiveView(out := console(), messages_alone=as_json) as view:
        view.message(f"reading {study}")
        from assay.cli.webhook import Webhook
        from assay.storage import Store

        webhook = Webhook(notify, store := Store.open(storage))
        planned = read_plan(study, data=data, cache=cache, say=view.message)
        view.message("loading the engine")
        from assay.engine import EngineOptions
        from assay.engine.interrupts import Ending

        options = EngineOptions(
            data_root=data,
            cache=cache,
            retry_failed=retry is not None,
            cpus=cpus,
            local=local,
            processes=processes,
            on_message=view.message,
            ending=stack.enter_context(Ending(ends_process=True)),
        )
        stack.enter_context(webhook)
        mirror = Mirror(planned, store, tracking_uri, view.message)
        with ExitStack() as while_it_runs:

            def begun(known: Plan, warnings: Sequence[str]) -> None:
                for warning in warnings:
                    out.print(f"warning: {warning}")
                listeners: list[Callable[[Look], None]] = [webhook.see] if notify else []
                if as_json:
                    listeners.append(_event_lines(answers(), warnings))
                while_it_runs.enter_context(mirror)  # a run that is refused leaves nothing in MLflow
                view.follow(known, store, mirror.notify, *listeners)

            outcome, results = train(store, planned, options, begun=begun, say=out.print)
            if outcome.interrupted or outcome.lost:
                mirror.interrupt()
                webhook.interrupt()
            if not as_json:
                _print_results(out, results)
            truth = format_truth(store, results.plan)
        view.message("dropping models that `keep` leaves out")
        remaining = drop_models(store, results)
    if as_json:
        _answer_ended(planned.study.study, outcome, mirror.lacking)
    else:
        _print_ways_on(results, outcome, storage, _pages(store, storage, tracking_uri, results.name))
    replay = in_use("assay mlflow --sync", storage=storage, tracking_uri=tracking_uri)
    _end(outcome, _remarks(remaining, mirror.lacking, replay, webhook, truth), view.seconds)


def _end(outcome: Outcome, remarks: Iterable[str], seconds: float) -> NoReturn:
    for remark in remarks:
        typer.echo(remark)
    console().print(f"{_counts(outcome)} in {duration(seconds)}")
    raise outcome.fault or typer.Exit


def _event_lines(output: Answers, warnings: Sequence[str]) -> Callable[[Look], None]:
    """A listener that writes a line of JSON for the start, each trial that ends and what is settled."""
    from assay.report.answers.progress import StartedEvent, settled_events, trial_event

    before: Look | None = None

    def write(look: Look) -> None:
        nonlocal before
        study, snapshot = look.watch.plan.study.study, look.snapshot
        if before is None:
            output.give_line(
                StartedEvent(study=study, trials=snapshot.total, done=snapshot.done, warnings=tuple(warnings))
            )
        else:
            for record in snapshot.ended:
                output.give_line(trial_event(record, look))
            if look.decisions is not None and look.decisions is not before.decisions:
                for event in settled_events(study, before.decisions, look.decisions):
                    output.give_line(event)
        before = look

    return write


def _answer_ended(study: str, outcome: Outcome, mlflow_lacks: str | None) -> None:
    from assay.report.answers.progress import EndedEvent

    facts = asdict(outcome)
    answers().give_line(
        EndedEvent.model_validate(
            {**facts, "study": study, "exit_code": exit_code_of(outcome.fault), "mlflow_lacks": mlflow_lacks}
        )
    )


def _print_results(out: Console, results: StudyResults) -> None:
    from assay.analysis.test_set_uncertainty import MOST_TRIALS_AT_ONCE
    from assay.report.build import study_page
    from assay.report.terminal import terminal_page

    out.print()
    # One file for each trial is read: seconds here, and minutes for what `assay report` is asked for.
    few = len(results.reported.trials) <= MOST_TRIALS_AT_ONCE
    shown = results if few else results.without_predictions()
    out.print(terminal_page(study_page(shown, brief=True)))


def _pages(store: Store, storage: str, tracking_uri: str | None, study: str) -> str | None:
    """Tell how to see the runs in MLflow; None when they are nowhere."""
    from assay.storage.mlflow_marker import study_address
    from assay.storage.redaction import redact
    from assay.tracking import default_uri

    if tracking_uri is not None and tracking_uri.startswith(("http://", "https://")):
        address, root = study_address(store, study, tracking_uri), redact(tracking_uri)
        return f"open {root if address is None else f'{root}/{address}'}"  # a server has pages of its own
    if tracking_uri is None and default_uri(store) is None:
        return None
    return in_use("assay mlflow", storage=storage, tracking_uri=tracking_uri)


def _print_ways_on(results: StudyResults, outcome: Outcome, storage: str, pages: str | None) -> None:
    from assay.analysis.search_results import SearchResults

    name = results.name
    typer.echo()
    if pages is not None:
        typer.echo(f"open the runs in MLflow:  {pages}")
    else:
        typer.echo(
            "no runs in MLflow:        an object store has no place for its database; name a server or an "
            "SQLite file with --tracking-uri, now or later (`assay mlflow --sync`)"
        )
    report = in_use(f"assay report {name} --output {name}.md", storage=storage)
    typer.echo(f"write the whole report:   {report}")
    typer.echo(f"look at masks and more:   {in_use('assay dashboard', storage=storage)}")
    if isinstance(results, SearchResults) and (line := way_on(results, storage)):
        typer.echo(line)
    if outcome.failed:
        typer.echo(f"see what failed:          {in_use(f'assay status {name} --once', storage=storage)}")
    for problem in outcome.problems:
        typer.echo(f"a pack broke: {problem}")


def _remarks(
    models: str | None, lacking: str | None, replay: str, webhook: Webhook, truth: str | None
) -> Iterator[str]:
    """A sentence for each thing beside the results that went wrong, and what became of a forecast."""
    if models:
        yield f"models that `keep` leaves out stay for now: {models}"
    if lacking:
        yield f"MLflow lacks some results ({lacking}). Nothing is lost: `{replay}` replays them."
    if webhook.trouble:
        yield f"the webhook at {webhook.host} was not told of {webhook.trouble}"
    if truth:
        yield truth


def _counts(outcome: Outcome) -> str:
    parts = {
        "finished": outcome.finished,
        "diverged": outcome.diverged,
        "pruned": outcome.pruned,
        "failed": outcome.failed,
        "missing": outcome.missing,
        "left for another budget": outcome.postponed,
    }
    counts = ", ".join(f"{count} {name}" for name, count in parts.items() if count or name == "finished")
    return f"{counts}; {outcome.trained_now} trained now"
