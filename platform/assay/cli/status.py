"""`assay status` and `assay stop`: how far the studies of a storage are, and the end of one.

Both use the storage and nothing else, so they work from any machine that reaches it, while the study runs
elsewhere. What trains is as recent as its last sign of life in the storage.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import DEFAULT_STORAGE, Storage, in_use, study_name, trial_id
from assay.cli.output import AsJson, answers, console
from trainables.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from assay.analysis.names import StudyNames
    from assay.analysis.results.followed import FollowedStudy
    from assay.cli.live import Curves
    from assay.report.answers.progress import StatusAnswer, StatusOfAllAnswer, StudyLine
    from assay.storage import Record, Store
    from assay.storage.lease import LeaseNote

__all__ = ["status", "status_now", "status_of_all", "stop"]


_FAILURES = 8  # listed one by one

StudyName = Annotated[
    str | None, typer.Argument(metavar="[STUDY]", help="A study's name or file; default: all studies.")
]
Once = Annotated[bool, typer.Option("--once", help="Print the state and end, instead of following it.")]


def status(
    study: StudyName = None,
    once: Once = False,
    as_json: AsJson = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Show what is finished, what trains (epoch, score, time left), what failed and what is planned.

    Follows a running study until it ends or until Ctrl-C, which ends the display, not the study. With --json
    it prints the state once.
    """
    from assay.storage import Store

    store, out = Store.open(storage), console()
    if study is None and as_json:
        answers().give(status_of_all(store))
        return
    if study is None:
        from assay.analysis.ledger import ledgers

        lines = list(_study_lines(store))
        if not lines:
            out.print(f"no study was run into {store.uri} yet")
            return
        out.print(_overview(lines))
        for ledger in ledgers(store):
            names = ", ".join(page.study for page in ledger.pages)
            out.print(f"{ledger}: {names}")
        return
    name = study_name(store, study)
    if as_json:
        answers().give(status_now(store, name))
        return
    followed = _followed(store, name)
    page = _Page(store, storage, followed)
    shown = page.draw()

    # Nothing is followed where nobody looks at a screen, or where nothing will change.
    if once or not out.is_terminal or not page.moving:
        out.print(shown)
        return
    from rich.live import Live

    with suppress(KeyboardInterrupt), Live(shown, console=out, refresh_per_second=4) as live:
        while page.moving:
            time.sleep(followed.pause)
            live.update(page.draw())


def status_now(store: Store, name: str) -> StatusAnswer:
    """The state of a study of the storage."""
    from assay.report.answers.progress import status_answer

    state = _followed(store, name).state()
    return status_answer(store, state, held=state.snapshot.held)


def _followed(store: Store, name: str) -> FollowedStudy:
    """A study to look at; stages, whose names methods know, only while somebody runs it: that loads them."""
    from assay.analysis.results.followed import FollowedStudy
    from assay.storage.lease import holder
    from assay.study.planning.stage_graph import stages_of

    held = holder(store, name) is not None
    return FollowedStudy(store, name, stages_of=stages_of if held else None)


def status_of_all(store: Store) -> StatusOfAllAnswer:
    """A line for each study of the storage, and the ledgers."""
    from assay.analysis.ledger import ledgers
    from assay.report.answers.progress import StatusOfAllAnswer, StudyLedger

    shared = [
        StudyLedger(studies=tuple(page.study for page in ledger.pages), comparisons=ledger.comparisons)
        for ledger in ledgers(store)
    ]
    return StatusOfAllAnswer(
        storage=store.uri,
        studies=tuple(_study_lines(store)),
        ledgers=tuple(shared),
    )


def _study_lines(store: Store) -> Iterator[StudyLine]:
    """The state of each study, or why it cannot be read."""
    from assay.analysis.results.followed import FollowedStudy
    from assay.report.answers.progress import StudyLine
    from assay.storage.files.local_disk import RefusedFileError

    for name in store.studies():
        try:
            state = FollowedStudy(store, name).state()
        except (InputError, RefusedFileError) as error:
            # One study that cannot be read hides none of the others.
            yield StudyLine(study=name, error=str(error))
            continue
        now = state.snapshot
        yield StudyLine(
            study=name,
            question=state.results.plan.study.question.strip(),
            trials=now.total,
            done=now.done,
            counts=dict(now.counts),
            running=len(now.running),
            planned=now.planned,
        )


def _overview(lines: Sequence[StudyLine]) -> RenderableType:
    """A row for each study, and a line for each that cannot be read."""
    from rich.console import Group
    from rich.text import Text

    from assay.report.page.inline import visible
    from assay.report.page.terminal import FittedTable

    rare = [status for status in ("diverged", "pruned") if any(status in line.counts for line in lines)]
    numbers = ("trials", "finished", "running", *rare, "failed", "planned")
    rows: list[tuple[str, ...]] = []
    for line in lines:
        counts = {**line.counts, "trials": line.trials, "running": line.running, "planned": line.planned}
        if line.error is None:
            rows.append((line.study, *(str(counts.get(title, 0)) for title in numbers), line.question))
    table = FittedTable.of(("study", *numbers, "question"), rows, right=numbers, spare=("question",))
    unread = [Text(visible(f"{line.study}: {line.error}")) for line in lines if line.error is not None]
    return Group(*([table] if rows else []), *unread)


class _Page:
    """The state of one study, looked at again and again; ``storage``: as it was typed."""

    def __init__(self, store: Store, storage: str, followed: FollowedStudy) -> None:
        self._store, self._storage, self._followed = store, storage, followed
        self._curves: Curves | None = None
        self.moving = False  # at the last look: somebody runs the study, and there is something left

    def draw(self) -> RenderableType:
        """The state now, as a page."""
        from rich.console import Group
        from rich.text import Text

        from assay.analysis.names import study_names
        from assay.cli.live import Curves, render
        from assay.report.page.inline import visible
        from assay.storage.lease import holder, stop_requested

        state = self._followed.state()
        snapshot, results, store = state.snapshot, state.results, self._store
        names = study_names(results)
        study = results.plan.study
        self._curves = self._curves or Curves(study.metrics.primary)
        self._curves.see(snapshot.running)
        left = snapshot.total - snapshot.done
        self.moving = snapshot.held and left > 0

        damaged = [Text(visible(str(problem)), style="red") for problem in results.problems]
        lost = [record for record in results.records.values() if record.status != "finished"]
        parts: list[RenderableType] = [
            Text(visible(": ".join(filter(None, (study.study, study.question)))), style="bold"),
            render(state, self._curves),
            *_first(damaged, "whose record is damaged"),
            *_first([_without_result(record, names) for record in lost], "without a result"),
        ]

        # What can be done about it.
        failed = next((record.id for record in lost if record.status == "failed"), None)
        if failed is not None:
            logs = in_use(f"assay logs {failed}", storage=self._storage)
            retry = in_use("assay run STUDY --retry failed", storage=self._storage)
            parts.append(Text(f"`{logs}` shows why one failed; `{retry}` tries again."))
        note = holder(store, study.study) if snapshot.held else None
        if note is not None and stop_requested(store, "study", study.study, note.token):
            parts.append(Text("it was asked to stop, and ends within seconds"))
        if not snapshot.held and left > 0:
            run = in_use("assay run STUDY", storage=self._storage)
            parts.append(Text(f"nobody runs this study now; `{run}` goes on from what is done."))
        return Group(*parts)


def _without_result(record: Record, names: StudyNames) -> Text:
    from rich.text import Text

    from assay.report.page.inline import visible
    from assay.study.planning.repeats import repeat_name

    why = record.reason or "no reason noted"
    trial = record.trial
    where = f"{names.variant(trial['cell'])}, {repeat_name(trial['seed'], trial.get('fold'))}"
    text = f"{record.id} {where} {record.status}: {why}"
    return Text(visible(text), style="red" if record.status == "failed" else "yellow")


def _first(lines: list[Text], rest: str) -> list[Text]:
    """The first lines, and how many more there are."""
    from rich.text import Text

    more = len(lines) - _FAILURES
    return [*lines[:_FAILURES], *([Text(f"and {more} more {rest}")] if more > 0 else [])]


# Stop --------------------------------------------------------------------------------------------------


Target = Annotated[
    str, typer.Argument(metavar="STUDY|TRIAL", help="A study's name or file, or the start of a trial's id.")
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Take the study away from a run that no longer answers: what it still writes is refused.",
    ),
]


def stop(target: Target, storage: Storage = DEFAULT_STORAGE, force: Force = False) -> None:
    """Ask a running study, or one of its trials, to end. `assay run` goes on from there.

    A study ends within seconds, a trial after the epoch it is in. Exit code 2: nobody runs it.
    """
    from assay.storage import Store
    from assay.storage.lease import displace, holder, request_stop

    store = Store.open(storage)
    again = in_use("assay run STUDY", storage=storage)
    try:
        # What is typed is a study, or else the start of a trial's id.
        name = study_name(store, target)
    except InputError:
        if not re.fullmatch("[0-9a-f]+", target):  # no start of an id
            raise
        trial = trial_id(store, target)
        if force:
            raise InputError(
                f"--force takes a study away from its run, found trial {trial}. Name its study."
            ) from None
        note = _run_of(store, trial)
        request_stop(store, "trial", trial, note.token)
        typer.echo(f"asked trial {trial} to stop after its epoch; the next `{again}` goes on with it")
        return
    if force:
        note = displace(store, name)
        silent = max(0.0, time.time() - note.beat)  # clocks may differ
        typer.echo(
            f"took study {name} away from {note} (last sign of life {silent:.0f} s ago). What it "
            f"still writes is refused, and it stops when it looks. `{again}` goes on from what is finished"
        )
        return
    note = holder(store, name)
    if note is None:
        raise InputError(
            f"only a study that runs can be stopped, and nobody runs {name} in {store.uri} now. A run that "
            "still opens its data has not begun: Ctrl-C ends it where it was started."
        )
    request_stop(store, "study", name, note.token)
    who = f"process {note.pid} on {note.host}"
    typer.echo(f"asked study {name} ({who}) to stop; `{again}` goes on from what is finished")


def _run_of(store: Store, trial: str) -> LeaseNote:
    """Find who runs a study with the trial; an error when nobody does, or the trial has ended."""
    from assay.storage import Record
    from assay.storage.lease import holder

    record = store.record(trial)
    if isinstance(record, Record):
        raise InputError(f"only a trial that trains can be stopped, and {trial} has ended: {record.status}.")
    for name in store.study_folders():
        note = holder(store, name)
        if note is not None and _plans(store, name, trial):
            return note
    raise InputError(
        f"only a trial that trains can be stopped, and no study that runs in {store.uri} has {trial}."
    )


def _plans(store: Store, study: str, trial: str) -> bool:
    """True if the study has the trial; one whose plan cannot be read may have it."""
    from assay.storage.plans import stored_plan

    try:
        return any(planned.id == trial for planned in stored_plan(store, study).trials)
    except InputError:
        return True
