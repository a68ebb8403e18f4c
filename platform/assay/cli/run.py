"""`assay run` and `assay submit`: train what is missing here, or hand the study to a cluster.

The plan is written before Ray is loaded, so that `assay status` and the dashboard can follow from the start.
What comes after the training (table, models that `keep` leaves out, MLflow) can be had later by other
commands, and no trouble with it loses a result.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
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
    as_path,
    in_use,
    not_empty,
    refuse_processes_alone,
)
from assay.cli.output import FLAG, Answers, answers, check_output, console, duration, replace_file
from assay.cli.plan import format_truth
from assay.cli.results import way_on
from assay.faults import Interrupted, exit_code_of
from trainables.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from assay.analysis.results.followed import StudyState
    from assay.analysis.results.results import StudyResults
    from assay.engine import Outcome
    from assay.engine.cluster.jobs import Job
    from assay.extras.slurm.job import SlurmJob
    from assay.storage import Store
    from assay.study import Plan

__all__ = ["LeftRunning", "run", "submit"]


# Here --------------------------------------------------------------------------------------------------

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

    refuse_processes_alone(processes, local=local)
    with ExitStack() as stack, LiveView(out := console(), messages_alone=as_json) as view:
        view.message(f"reading {study}")
        from assay.cli.mlflow_sync import Mirror, Webhook
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
                while_it_runs.enter_context(mirror)  # a run that is refused leaves nothing in MLflow
                listeners: list[Callable[[StudyState], None]] = [mirror.see, webhook.see]
                if as_json:
                    listeners.append(_event_lines(answers(), warnings))
                view.follow(known, store, *listeners)

            outcome, results = train(store, planned, options, begun=begun, say=out.print)
            if outcome.interrupted or outcome.lost:
                mirror.interrupt()
                webhook.interrupt()
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
            "mlflow_lacks": mirror.lacking,
        }
        answers().give_line(EndedEvent.model_validate({**asdict(outcome), **facts}))
    else:
        _print_ways_on(store, results, outcome, storage, tracking_uri)
    if remaining:
        typer.echo(f"models that `keep` leaves out stay for now: {remaining}")
    if mirror.lacking:
        replay = in_use("assay mlflow --sync", storage=storage, tracking_uri=tracking_uri)
        typer.echo(f"MLflow lacks some results ({mirror.lacking}). Nothing is lost: `{replay}` replays them.")
    if webhook.trouble:
        typer.echo(f"the webhook at {webhook.host} was not told of {webhook.trouble}")
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

    out.print()
    # One file for each trial is read: seconds here, and minutes for what `assay report` is asked for.
    few = len(results.reported.trials) <= MOST_TRIALS_AT_ONCE
    shown = results if few else results.without_predictions()
    out.print(terminal_page(study_page(shown, brief=True)))


def _print_ways_on(
    store: Store, results: StudyResults, outcome: Outcome, storage: str, tracking_uri: str | None
) -> None:
    from assay.analysis.results.search_results import SearchResults
    from assay.storage.mlflow_marker import study_address
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
        typer.echo(f"a pack broke: {problem}")


# On a cluster ------------------------------------------------------------------------------------------


class LeftRunning(Interrupted):
    """Ctrl-C ended the following of a job, which was said: the job itself was not interrupted."""

    @property
    def line(self) -> str:
        return ""


SharedStorage = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="ASSAY_STORAGE",
        parser=not_empty,
        metavar="URI",
        help="Where results lie: a URI (s3://bucket/assay), or the path of a folder that all nodes share.",
        show_default=False,
    ),
]
NodeCache = Annotated[
    str | None,
    typer.Option(
        "--cache",
        metavar="FOLDER",
        parser=not_empty,
        help="Of each node.",
        show_default="~/.cache/assay there",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="The cluster's dashboard, http://head:8265.",
        show_default="RAY_API_SERVER_ADDRESS or RAY_ADDRESS",
    ),
]
Python = Annotated[
    str | None,
    typer.Option(
        "--python",
        metavar="PATH",
        parser=not_empty,
        help="The Python on the cluster's nodes.",
        show_default="the path of the one that runs here; with --kuberay `python`",
    ),
]
Follow = Annotated[
    bool | None,
    typer.Option(
        "--follow/--no-follow", help="Show what the job prints until it ends.", show_default="follow"
    ),
]

Slurm = Annotated[
    bool, typer.Option("--slurm", help="Run it as a job of Slurm, which starts Ray on its nodes.")
]
Sbatch = Annotated[
    str | None,
    typer.Option(
        "--sbatch", metavar="OPTIONS", help='With --slurm: "--nodes=2 --gpus-per-node=4 --time=8:00:00".'
    ),
]
Script = Annotated[
    Path | None,
    typer.Option(
        "--script",
        metavar="FILE",
        parser=as_path,
        help="With --slurm: write the batch script, submit nothing.",
    ),
]
Kuberay = Annotated[
    Path | None,
    typer.Option(
        "--kuberay",
        metavar="FILE",
        parser=as_path,
        help="Write a RayJob of KubeRay as YAML, submit nothing.",
    ),
]
Image = Annotated[
    str | None,
    typer.Option("--image", metavar="NAME", help="With --kuberay: the image of its pods, with assay in it."),
]


def submit(
    study: StudyFile,
    *,
    storage: SharedStorage,
    address: Address = None,
    data: Data = None,
    retry: RetryOption = None,
    cache: NodeCache = None,
    tracking_uri: Tracking = None,
    python: Python = None,
    follow: Follow = None,
    slurm: Slurm = False,
    sbatch: Sbatch = None,
    script: Script = None,
    kuberay: Kuberay = None,
    image: Image = None,
) -> None:
    """Run a study as a job of a Ray cluster: `assay run` there, with the code and the study of this machine.

    With --slurm as a job of Slurm, which starts Ray on its nodes. --kuberay writes it down for Kubernetes.
    The job goes on when this command ends. Storage and data are named as the nodes see them. Exit code: that
    of `assay run`. 130 if the job was stopped, or is no longer followed; with --no-follow 0 once it is there.
    """
    from assay.storage import Store
    from assay.storage.redaction import holds_credentials

    _refuse_mixed(
        {"--address": address, "--slurm": slurm or None, "--kuberay": kuberay},
        {"--slurm": {"--sbatch": sbatch, "--script": script}, "--kuberay": {"--image": image}},
    )
    if follow is not None and (script is not None or kuberay is not None):
        word = "--follow" if follow else "--no-follow"
        raise typer.BadParameter(
            f"{word} is for a job, found a file that is written and no job. Leave it out."
        )
    for file in (script, kuberay):
        check_output(file, study)
    if "://" not in storage and not Path(storage).is_absolute():
        raise InputError(
            "the storage of a submitted study is a URI, or the absolute path of a folder that all nodes "
            f"share; found {storage}."
        )
    Store(storage)  # refuses schemes that nobody can open, and passwords
    arguments = ["--storage", storage]
    if data is not None:
        arguments += ["--data", _absolute("data", str(data))]
    if cache is not None:
        arguments += ["--cache", _absolute("cache", cache)]
    if tracking_uri is not None:
        if holds_credentials(tracking_uri):
            raise InputError(
                f"a job's command can be read by all who see the cluster, and {tracking_uri} holds a "
                "password. Set MLFLOW_TRACKING_URI on the nodes instead, and leave --tracking-uri out."
            )
        arguments += ["--tracking-uri", tracking_uri]
    if retry is not None:
        arguments += ["--retry", retry]
    # A study that breaks a rule is refused here; the data are looked at on the cluster.
    plan = read_plan(study, data=None, cache=Path(), with_data=False, say=lambda message: None)
    name = plan.study.study
    if kuberay is not None:
        from assay.extras.kuberay.manifest import ray_job

        if image is None:
            raise typer.BadParameter("pods start from an image with assay in it, found no --image.")
        manifest = ray_job(plan.study, study, arguments, image=image, python=python or "python")
        replace_file(kuberay, manifest.encode())
        apply = f"kubectl apply -f {shlex.quote(str(kuberay))}"
        typer.echo(f"wrote {kuberay}; look at its resources, then:  {apply}")
        return
    python = _absolute("python", python or sys.executable)
    if slurm:
        from assay.extras.slurm.job import slurm_script, submit_script

        text = slurm_script(name, study.resolve(), arguments, python=python, options=sbatch or "")
        if script is not None:
            replace_file(script, text.encode())
            typer.echo(f"wrote {script}; on the cluster:  sbatch {shlex.quote(str(script))}")
            return
        job = submit_script(text, _on_stderr)
    else:
        from assay.engine.cluster.jobs import submit as submit_job

        job = submit_job(study, plan.study, arguments, address=address, python=python, say=_on_stderr)
    try:
        typer.echo(f"job {job.id}")
        if follow is False:
            _print_next_commands(job, name, storage)
            return
        code = job.follow(lambda text: typer.echo(text, nl=False))
    except KeyboardInterrupt:
        typer.echo("\nthe job runs on")
        _print_next_commands(job, name, storage)
        raise LeftRunning from None
    raise typer.Exit(code)


def _refuse_mixed(ways: Mapping[str, object], options: Mapping[str, Mapping[str, object]]) -> None:
    """Refuse several ways to a cluster at once, and options of a way that is not taken."""
    taken = [name for name, value in ways.items() if value is not None]
    if len(taken) > 1:
        raise typer.BadParameter(f"a study goes one way to its cluster, found {' and '.join(taken)}.")
    for way, needs in options.items():
        given = [name for name, value in needs.items() if value is not None]
        if given and way not in taken:
            raise typer.BadParameter(f"{', '.join(given)} goes with {way}, found without it.")


def _on_stderr(text: str) -> None:
    typer.echo(text, err=True)


def _print_next_commands(job: Job | SlurmJob, name: str, storage: str) -> None:
    typer.echo(f"see how far it is:  {in_use(f'assay status {name}', storage=storage)}")
    typer.echo(f"see what it prints: {job.log_command}")
    typer.echo(f"stop it:            {in_use(f'assay stop {name}', storage=storage)}")
    typer.echo(f"before it begins:   {job.stop_command}")  # the storage knows of nobody until then


def _absolute(option: str, path: str) -> str:
    if not Path(path).is_absolute():
        raise InputError(f"--{option} of a submitted study is an absolute path on the nodes, found {path}.")
    return path
