"""`assay run`: train what is missing, then print the answer and how to go on.

The plan is written before Ray is loaded, so that `assay status` and the dashboard can follow from the start.
What comes after the training (table, models that `keep` leaves out, MLflow) can be had later by other
commands, and no trouble with it loses a result.

`run` joins four things that do not know each other: the plan, the engine, the MLflow sync (a thread,
since a server that is away must not slow the study) and the display (a thread that reads the storage, as
`assay status` does on another machine).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from assay.api.planning import read_plan
from assay.api.running import drop_models, train
from assay.cli.options import (
    DEFAULT_CACHE,
    DEFAULT_STORAGE,
    Cache,
    CpusOption,
    Data,
    LocalOption,
    ProcessesOption,
    RetryOption,
    Storage,
    StudyFile,
    Tracking,
    in_use,
    refuse_processes_alone,
)
from assay.cli.output import FLAG, Answers, answers, console, duration
from assay.cli.plan import format_truth
from assay.cli.results import way_on
from assay.extras import EXTRAS, RunListener, load
from assay.faults import exit_code_of

if TYPE_CHECKING:
    from rich.console import Console

    from assay.analysis.results.followed import StudyState
    from assay.analysis.results.results import StudyResults
    from assay.engine import Outcome
    from assay.storage import Store
    from assay.study import Plan

__all__ = ["run"]

EventsOption = Annotated[
    bool,
    typer.Option(FLAG, help="Print a line of JSON for each event, and no table (docs/json.md)."),
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
) -> None:
    """Train every trial that has no record yet, then print the table of the study.

    Run it again at any time, also after Ctrl-C or a crash: it trains what is missing and nothing else.
    Exit code 0: every trial has ended with a result (diverged and pruned are results too), or the study's
    budget has ended; 1: some failed or are missing, 2: bad input, a storage or cache that is full or away, or
    a Ray that does not start, 3: a part of Ray died under the study, 130: interrupted.
    """
    from assay.cli.live import LiveView

    refuse_processes_alone(processes, local=local)
    with ExitStack() as stack, LiveView(out := console(), messages_alone=as_json) as view:
        view.message(f"reading {study}")

        # Imports stand behind the messages: Ray and torch take seconds, and the first sign of life does not
        # wait for them.
        from assay.cli.mlflow_sync import SyncThread
        from assay.storage import Store

        store = Store.open(storage)
        made = [load(extra.listener)(store) for extra in EXTRAS.values() if extra.listener]
        listeners: list[RunListener] = [listener for listener in made if listener is not None]
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
        for listener in listeners:
            stack.enter_context(listener)
        mlflow_sync = SyncThread(planned, store, tracking_uri, view.message)
        with ExitStack() as while_it_runs:

            def begun(known: Plan, warnings: Sequence[str]) -> None:
                for warning in warnings:
                    out.print(f"warning: {warning}")
                while_it_runs.enter_context(mlflow_sync)  # a run that is refused leaves nothing in MLflow
                followers: list[Callable[[StudyState], None]] = [
                    mlflow_sync.see,
                    *(listener.see for listener in listeners),
                ]
                if as_json:
                    followers.append(_event_lines(answers(), warnings))
                view.follow(known, store, *followers)

            outcome, results = train(store, planned, options, begun=begun, say=out.print)
            if outcome.interrupted or outcome.lost:
                mlflow_sync.interrupt()
                for listener in listeners:
                    listener.interrupt()
            if not as_json:
                _print_results(out, results)
            truth = format_truth(store, results.plan)
        view.message("dropping models that `keep` leaves out")
        remaining = drop_models(store, results)

    # What there is now, how to go on, and what beside the results went wrong.
    if as_json:
        from assay.report.answers.progress import EndedEvent

        facts = {
            "study": results.name,
            "exit_code": exit_code_of(outcome.fault),
            "mlflow_lacks": mlflow_sync.lacking,
        }
        answers().give_line(EndedEvent.model_validate({**asdict(outcome), **facts}))
    else:
        _print_ways_on(store, results, outcome, storage, tracking_uri)
    if remaining:
        typer.echo(f"models that `keep` leaves out stay for now: {remaining}")
    if mlflow_sync.lacking:
        replay = in_use("assay mlflow --sync", storage=storage, tracking_uri=tracking_uri)
        typer.echo(
            f"MLflow lacks some results ({mlflow_sync.lacking}). Nothing is lost: `{replay}` replays them."
        )
    for listener in listeners:
        if listener.trouble:
            typer.echo(listener.trouble)
    if truth:
        typer.echo(truth)
    numbers = {
        "finished": outcome.finished,
        "diverged": outcome.diverged,
        "pruned": outcome.pruned,
        "failed": outcome.failed,
        "missing": outcome.missing,
        "left for another budget": outcome.postponed,
    }
    counts = ", ".join(f"{count} {name}" for name, count in numbers.items() if count or name == "finished")
    console().print(f"{counts}; {outcome.trained_now} trained now in {duration(view.seconds)}")
    raise outcome.fault or typer.Exit


def _event_lines(output: Answers, warnings: Sequence[str]) -> Callable[[StudyState], None]:
    """A listener that writes a line of JSON for the start, each trial that ends and what is settled."""
    from assay.report.answers.progress import StartedEvent, settled_events, trial_event

    before: StudyState | None = None

    def write(state: StudyState) -> None:
        nonlocal before
        study, snapshot = state.results.name, state.snapshot

        # The first state is what the run began with: what had ended before is counted, and not told trial by
        # trial.
        if before is None:
            output.give_line(
                StartedEvent(study=study, trials=snapshot.total, done=snapshot.done, warnings=tuple(warnings))
            )
        else:
            for record in snapshot.ended:
                output.give_line(trial_event(record, state))
            if state.decisions is not None and state.decisions is not before.decisions:
                for event in settled_events(study, before.decisions, state.decisions):
                    output.give_line(event)
        before = state

    return write


def _print_results(out: Console, results: StudyResults) -> None:
    from assay.analysis.test_set_uncertainty import MOST_TRIALS_AT_ONCE
    from assay.report.page.terminal import terminal_page
    from assay.report.pages import study_page

    # One file for each trial is read: seconds here, and minutes for what `assay report` is asked for.
    few = len(results.reported.trials) <= MOST_TRIALS_AT_ONCE
    shown = results if few else results.without_predictions()
    out.print(terminal_page(study_page(shown, brief=True)))


def _print_ways_on(
    store: Store, results: StudyResults, outcome: Outcome, storage: str, tracking_uri: str | None
) -> None:
    from assay.analysis.results.search_results import SearchResults
    from assay.storage.mlflow_sync_state import study_address
    from assay.storage.redaction import redact
    from assay.tracking import default_uri

    name = results.name
    typer.echo()
    if tracking_uri is not None and tracking_uri.startswith(("http://", "https://")):
        # A server has pages of its own.
        address, root = study_address(store, name, tracking_uri), redact(tracking_uri)
        pages = f"{root}/{address}" if address is not None else root
        typer.echo(f"open the runs in MLflow:  open {pages}")
    elif tracking_uri is not None or default_uri(store) is not None:
        pages = in_use("assay mlflow", storage=storage, tracking_uri=tracking_uri)
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
        typer.echo(f"a batch of trials broke: {problem}")
