"""`assay status`: how far the studies of a storage are.

It reads the storage and nothing else, so it works from any machine that reaches the storage, while the study
runs elsewhere. What trains is as recent as its last sign of life in the storage.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.answers import AsJson, answers
from assay.cli.lookup import study_name
from assay.cli.options import DEFAULT_STORAGE, Storage, in_use
from assay.cli.output import console, text_table
from trainables.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from assay.cli.curves import Curves
    from assay.report.answers.progress import StatusAnswer, StatusOfAllAnswer, StudyLine
    from assay.storage import Record, Store
    from assay.storage.watch import Snapshot, Watch

__all__ = ["status", "status_now", "status_of_all"]

_FAILURES = 20  # listed one by one
_UNBOUNDED = 10_000  # columns

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
        _list(store, out)
        return
    from assay.cli.curves import Curves

    name = study_name(store, study)
    if as_json:
        answers().give(status_now(store, name))
        return
    watch = _watch(store, name)
    page = _Page(store, storage, watch, Curves(watch.plan.study.metrics.primary))
    shown = page.look()
    if once or not out.is_terminal or not page.moving:
        out.print(shown)
    else:
        _follow(page, shown, out)


def status_now(store: Store, name: str) -> StatusAnswer:
    """The state of a study of the storage."""
    from assay.analysis.reading import decisions_so_far
    from assay.report.answers.progress import Look, status_answer

    watch = _watch(store, name)
    snapshot = watch.look()
    decisions = decisions_so_far(watch.plan, watch.records)
    return status_answer(store, Look(watch, snapshot, decisions), held=snapshot.held)


def _watch(store: Store, name: str) -> Watch:
    """A study to look at; stages, whose names methods know, only while somebody runs it: that loads them."""
    from assay.analysis.reading import needed_plan
    from assay.storage.lease import holder
    from assay.storage.plans import written_plan
    from assay.storage.watch import Watch
    from assay.study.stage_graph import stages_of

    held = holder(store, name) is not None
    return Watch(store, written_plan(store, name), stages_of=stages_of if held else None, needed=needed_plan)


def status_of_all(store: Store) -> StatusOfAllAnswer:
    """A line for each study of the storage, the ledgers, and what agents asked for."""
    from assay.analysis.ledger import ledgers
    from assay.report.answers.agents import agents_line
    from assay.report.answers.progress import StatusOfAllAnswer, StudyLedger

    shared = [
        StudyLedger(studies=tuple(page.study for page in ledger.pages), comparisons=ledger.comparisons)
        for ledger in ledgers(store)
    ]
    return StatusOfAllAnswer(
        storage=store.uri,
        studies=tuple(_study_lines(store)),
        ledgers=tuple(shared),
        agents=agents_line(store),
    )


def _study_lines(store: Store) -> Iterator[StudyLine]:
    """The state of each study, or why it cannot be read."""
    from assay.analysis.reading import needed_plan
    from assay.report.answers.progress import StudyLine
    from assay.storage.local_disk import RefusedFileError
    from assay.storage.plans import written_plan
    from assay.storage.watch import Watch

    for name in store.studies():
        try:
            plan = written_plan(store, name)
            now = Watch(store, plan, needed=needed_plan).look()
        except (InputError, RefusedFileError) as error:
            yield StudyLine(study=name, error=str(error))
            continue
        yield StudyLine(
            study=name,
            question=plan.study.question.strip(),
            trials=now.total,
            done=now.done,
            counts=dict(now.counts),
            running=len(now.running),
            planned=now.planned,
        )


def _list(store: Store, out: Console) -> None:
    from assay.analysis.ledger import ledgers
    from assay.report.answers.agents import agent_lines
    from assay.report.page.inline import visible

    lines = list(_study_lines(store))
    if not lines:
        out.print(f"no study was run into {store.uri} yet")
        return
    out.print(_overview(lines, out))
    for ledger in ledgers(store):
        names = ", ".join(page.study for page in ledger.pages)
        out.print(f"{ledger}: {names}")
    for line in agent_lines(store):
        out.print(visible(line))


def _overview(lines: Sequence[StudyLine], out: Console) -> RenderableType:
    """A row of a table for each study, or lines where the terminal is too narrow for whole words in one."""
    from rich.console import Group
    from rich.text import Text

    from assay.report.page.inline import visible

    rare = [status for status in ("diverged", "pruned") if any(status in line.counts for line in lines)]
    numbers = ("trials", "finished", "running", *rare, "failed", "planned")
    rows: list[tuple[str, ...]] = []
    texts: list[Text] = []
    for line in lines:
        if line.error is not None:
            rows.append((line.study, *("–" for _ in numbers), line.error))
            texts.append(Text(visible(f"{line.study}: {line.error}")))
            continue
        counts = {**line.counts, "trials": line.trials, "running": line.running, "planned": line.planned}
        counted = [str(counts.get(title, 0)) for title in numbers]
        rows.append((line.study, *counted, line.question))
        listed = ", ".join(map(" ".join, zip(counted, numbers, strict=True)))
        texts.append(Text(visible(". ".join(filter(None, (f"{line.study}: {listed}", line.question))))))
    table = text_table(("study", *numbers, "question"), rows, right=numbers, whole=("study", *numbers))
    # A measure says no more than what it may take.
    needed = out.measure(table, options=out.options.update(max_width=_UNBOUNDED)).minimum
    return table if needed <= out.width else Group(*texts)


def _follow(page: _Page, shown: RenderableType, out: Console) -> None:
    from rich.live import Live

    try:
        with Live(shown, console=out, refresh_per_second=4) as live:
            while page.moving:
                time.sleep(page.watch.pause)
                live.update(page.look())
    except KeyboardInterrupt:
        return


@dataclass
class _Page:
    """The state of one study, looked at again and again."""

    store: Store
    storage: str  # as it was typed
    watch: Watch
    curves: Curves
    moving: bool = False  # at the last look: somebody runs the study, and there is something left

    def look(self) -> RenderableType:
        """The state now, as a page."""
        snapshot = self.watch.look()
        self.curves.see(snapshot.running)
        left = snapshot.total - snapshot.done
        self.moving = snapshot.held and left > 0
        return self._page(snapshot, nobody=not snapshot.held and left > 0)

    def _page(self, snapshot: Snapshot, nobody: bool) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        from assay.analysis.reading import decisions_so_far
        from assay.cli.live import render
        from assay.report.page.inline import visible

        study = self.watch.plan.study
        decisions = decisions_so_far(self.watch.plan, self.watch.records)
        damaged = [Text(visible(str(problem)), style="red") for problem in self.watch.problems]
        lost = [record for record in self.watch.records.values() if record.status != "finished"]
        parts: list[RenderableType] = [
            Text(visible(": ".join(filter(None, (study.study, study.question)))), style="bold"),
            render(snapshot, self.curves, str(decisions or "")),
            *_first(damaged, "whose record is damaged"),
            *_first([_without_result(record) for record in lost], "without a result"),
        ]
        failed = next((record.id for record in lost if record.status == "failed"), None)
        if failed is not None:
            logs = in_use(f"assay logs {failed}", storage=self.storage)
            retry = in_use("assay run STUDY --retry failed", storage=self.storage)
            parts.append(Text(f"`{logs}` shows why one failed; `{retry}` tries again."))
        if snapshot.held and self._asked_to_stop():
            parts.append(Text("it was asked to stop, and ends within seconds"))
        if nobody:
            run = in_use("assay run STUDY", storage=self.storage)
            parts.append(Text(f"nobody runs this study now; `{run}` goes on from what is done."))
        return Group(*parts)

    def _asked_to_stop(self) -> bool:
        from assay.storage.lease import holder, stop_requested

        study = self.watch.plan.study.study
        note = holder(self.store, study)
        return note is not None and stop_requested(self.store, "study", study, note.token)


def _without_result(record: Record) -> Text:
    from rich.text import Text

    from assay.report.page.inline import visible

    why = record.reason or "no reason noted"
    text = f"{record.id} {record.trial.get('cell')} {record.status}: {why}"
    return Text(visible(text), style="red" if record.status == "failed" else "yellow")


def _first(lines: list[Text], rest: str) -> list[Text]:
    """The first lines, and how many more there are."""
    from rich.text import Text

    more = len(lines) - _FAILURES
    return [*lines[:_FAILURES], *([Text(f"and {more} more {rest}")] if more > 0 else [])]
