"""The display of `assay run` and `assay status`: fed by the storage, never silent for ten seconds.

On a terminal a bar and a table of what is training, with its curves; elsewhere (a log file, CI) one plain
line for each trial that ends, and one at least every eight seconds.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from assay.cli.curves import Curve, Curves
from assay.cli.output import duration
from assay.storage.files import KEPT, PATIENCE_SECONDS
from assay.storage.progress import Running
from assay.storage.watch import Snapshot, Watch, score
from assay.study.repeats import repeat_name
from trainables.errors import StorageAway

if TYPE_CHECKING:
    from assay.analysis.decisions import StudyDecisions
    from assay.report.answers.progress import Look
    from assay.storage import Store
    from assay.storage.record import Record
    from assay.study import Plan

__all__ = ["LiveView", "render"]

_LINE_EVERY = 8.0  # seconds between plain lines when nothing happens
_ASKED_AGAIN = f"It is asked again. A run ends when that lasts {PATIENCE_SECONDS:.0f} s."
_ROWS = 12  # running trials shown one by one
_STYLES = {"finished": "green", "failed": "red", "diverged": "yellow"}
_STATUSES = ("finished", "diverged", "pruned", "failed")


class LiveView:
    """Shows messages, and from :meth:`follow` on the study's progress, until the ``with`` block ends.

    Args:
        console: To show them on.
        line_every: Seconds between plain lines when nothing happens.
        messages_alone: Show nothing of the progress: others tell of it.
        start: When its clock began, by the monotonic one; default: now.
    """

    def __init__(
        self,
        console: Console,
        line_every: float = _LINE_EVERY,
        *,
        messages_alone: bool = False,
        start: float | None = None,
    ) -> None:
        self._console, self._line_every, self._messages_alone = console, line_every, messages_alone
        self._start = time.monotonic() if start is None else start
        self._since = time.time()
        self._message = ""
        self._message_before = ""  # at the last look
        self._trouble = ""  # the storage's error at the last look
        self._trouble_told = False
        self._looks_since: float | None = None  # while it looks
        self._last_line = self._start  # when the last plain line was printed
        self._watch: Watch | None = None
        self._primary = ""
        self._curves = Curves("")  # of the study that is followed
        self._on_records: Callable[[], None] | None = None
        self._listeners: tuple[Callable[[Look], None], ...] = ()
        self._snapshot: Snapshot | None = None
        self._decisions: StudyDecisions | None = None  # of a study that decides
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._poll, name="assay-progress", daemon=True)
        self._teller = threading.Thread(target=self._tell, name="assay-lines", daemon=True)
        self._live = (
            Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)
            if console.is_terminal and not messages_alone
            else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        elif not self._messages_alone:
            self._teller.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(timeout=5)
        if self._teller.is_alive():
            self._teller.join(timeout=5)
        if self._listeners and self._watch is not None and kind is None and not self._thread.is_alive():
            self._look(self._watch)  # at what ended since the last look
        if self._live is not None:
            self._live.stop()

    def message(self, text: str) -> None:
        """Say what happens now; stays on the screen until the next message."""
        from assay.report.page.inline import visible
        from assay.storage.redaction import redact

        text = visible(redact(text))  # which may repeat what was typed
        if self._live is None and text != self._message:
            self._line(text)
        self._message = text

    def follow(
        self, plan: Plan, store: Store, on_records: Callable[[], None], *listeners: Callable[[Look], None]
    ) -> None:
        """Show the trials of ``plan`` from now on.

        Args:
            plan: Of the study.
            store: Where it lies.
            on_records: Called when some trials have ended.
            listeners: Called with every look: the first before this returns, the last when the block ends.
        """
        from assay.analysis.reading import needed_plan
        from assay.study.stage_graph import stages_of

        self._on_records = on_records
        self._primary = plan.study.metrics.primary
        self._curves = Curves(self._primary)
        self._listeners = listeners
        watch = Watch(store, plan, self._since, stages_of, needed_plan)
        if listeners:
            self._look(watch)
        self._watch = watch

    @property
    def seconds(self) -> float:
        """Since the view was made."""
        return time.monotonic() - self._start

    def _poll(self) -> None:
        pause = 0.2
        while not self._over.wait(pause):
            if self._watch is not None:
                self._look(self._watch)
                pause = min(self._watch.pause, self._line_every)

    def _tell(self) -> None:
        """Print a line where none came for a while; a look may wait long for a storage that is silent."""
        pause = self._line_every
        while not self._over.wait(pause):
            pause = self._last_line + self._line_every - time.monotonic()
            if pause <= 0:
                self._line(self._summary())
                pause = self._line_every

    def _look(self, watch: Watch) -> None:
        from assay.analysis.reading import decisions_so_far
        from assay.report.answers.progress import Look

        self._looks_since = time.monotonic()
        try:
            snapshot = watch.look()
            if snapshot.ended or self._snapshot is None:
                self._decisions = decisions_so_far(watch.plan, watch.records)
            self._show(snapshot)
            for listener in self._listeners:
                listener(Look(watch, snapshot, self._decisions))
            self._trouble, self._trouble_told = "", False
        except OSError as error:
            # The study itself decides whether a storage that is away is fatal; the display goes on.
            self._trouble = str(error)
            if isinstance(error, StorageAway):
                self._trouble = self._trouble.replace(KEPT, _ASKED_AGAIN)
        finally:
            self._looks_since = None

    def _show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._curves.see(snapshot.running)
        if snapshot.ended and self._on_records is not None:
            self._on_records()
        if snapshot.ended and snapshot.done == snapshot.total and self._message == self._message_before:
            self._message = "all trials have ended"  # what was said before tells of trials to train
        self._message_before = self._message
        if self._messages_alone:
            return
        for record in snapshot.ended:
            text = _ended(record, self._primary)
            if self._live is None:
                self._line(f"{snapshot.done}/{snapshot.total} {text}")
            else:
                self._print(Text(text, style=_STYLES.get(record.status, "dim")))

    def _line(self, text: str) -> None:
        with self._lock:
            self._last_line = time.monotonic()
            self._print(Text(f"[{duration(self.seconds)}] {text}"), soft_wrap=True)

    def _print(self, text: Text, *, soft_wrap: bool = False) -> None:
        with suppress(OSError):  # of a log whose disk is full: the study goes on, and so does who listens
            self._console.print(text, soft_wrap=soft_wrap)

    def _summary(self) -> str:
        snapshot = self._snapshot
        if self._trouble:
            text = "the storage cannot be read yet" if self._trouble_told else self._trouble
            self._trouble_told = True
            return text
        looks_since = self._looks_since
        if looks_since is not None and time.monotonic() - looks_since >= self._line_every:
            return f"waiting for the storage for {duration(time.monotonic() - looks_since)}"
        if snapshot is None:
            return self._message or "starting"
        done = " · ".join(
            filter(None, (f"{snapshot.done}/{snapshot.total} done", str(self._decisions or "")))
        )
        done += _stages(snapshot)
        slow = _slow(self._curves)
        done += f" · {slow}" if slow else ""
        if not snapshot.running:
            return f"{done} · {self._message}"
        left = _left(snapshot)
        doing = "; ".join(
            " ".join(filter(None, _words(running, self._primary)))
            for running in snapshot.running[:3]
            if running.silent is None
        )
        more = f" and {len(snapshot.running) - 3} more" if len(snapshot.running) > 3 else ""
        return f"{done}{left} · training {doing}{more}"

    def _render(self) -> Group:
        head = Text(f"{self._trouble or self._message} · {duration(self.seconds)}", style="bold")
        if self._snapshot is None:
            return Group(head)
        return Group(head, render(self._snapshot, self._curves, str(self._decisions or "")))


def render(snapshot: Snapshot, curves: Curves, settled: str = "") -> Group:
    """A bar, the counts, what waits, what is ``settled``, and a table of the trials that are training."""
    bar = Table.grid()
    bar.add_row(ProgressBar(total=max(1, snapshot.total), completed=snapshot.done, width=60))
    parts: list[Text | Table] = [bar, Text(f"{_counts(snapshot)}{_stages(snapshot)}{_left(snapshot)}")]
    if slow := _slow(curves):
        parts.append(Text(slow, style="yellow"))
    if settled:
        parts.append(Text(settled))
    if snapshot.running:
        parts.append(_table(snapshot.running[:_ROWS], curves))
    if len(snapshot.running) > _ROWS:
        parts.append(Text(f"and {len(snapshot.running) - _ROWS} more", style="dim"))
    return Group(*parts)


def _counts(snapshot: Snapshot) -> str:
    """Trials by what became of them, and what those wait for that nobody trains yet."""
    counts = [f"{snapshot.counts.get(s, 0)} {s}" for s in _STATUSES if snapshot.counts.get(s)]
    counts.append(f"{len(snapshot.running)} running")
    alive = [trial.progress for trial in snapshot.running if trial.silent is None]
    waiting = snapshot.planned - snapshot.undrawn
    if not alive:
        counts.append(f"{snapshot.planned} planned")
    elif waiting:
        stages_first = all(progress is not None and progress.stage for progress in alive)
        what = "stages that trials share" if stages_first else "a free place"
        counts.append(f"{waiting} {'waits' if waiting == 1 else 'wait'} for {what}")
    if alive and snapshot.undrawn:
        counts.append(f"{snapshot.undrawn} not drawn yet")
    return " · ".join([f"{snapshot.done}/{snapshot.total} trials", *counts])


def _table(running: Sequence[Running], curves: Curves) -> Table:
    """A row for each trial; the name of the score is a title where all have the same."""
    scores = [curves.of(trial.progress) if trial.progress is not None else None for trial in running]
    names = {curve.name for curve in scores if curve is not None}
    title = _title(names.pop()) if len(names) == 1 else "score"
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("trial", "cell", "repeat", "epoch", title, "left"):
        table.add_column(name, no_wrap=name != "cell")
    for trial, curve in zip(running, scores, strict=True):
        *head, epoch, left = _progress(trial)
        epoch = epoch.replace("epoch ", "")  # its title says so
        table.add_row(*(Text(text) for text in (*head, epoch, _number(curve, title), left)))
    return table


def _number(curve: Curve | None, title: str) -> str:
    if curve is None:
        return ""
    return str(curve) if title == _title(curve.name) else f"{_title(curve.name)} {curve}"


def _title(name: str) -> str:
    return name.replace(".", " ")


def _slow(curves: Curves) -> str:
    return curves.slow(os.getloadavg()[0], os.cpu_count() or 1)


def _stages(snapshot: Snapshot) -> str:
    """Stages that are made, as long as some are missing."""
    made, stages = snapshot.stages
    return f" · {made}/{stages} stages made" if made < stages else ""


def _left(snapshot: Snapshot) -> str:
    if snapshot.left is None:
        return ""
    # What runs is at work until its record is there.
    return f" · {snapshot.left.roughly} {duration(max(1.0, snapshot.left.seconds))} left"


def _words(running: Running, primary: str) -> tuple[str, ...]:
    """A running trial in a line of text, where nothing can be drawn."""
    *head, epoch, left = _progress(running)
    if running.progress is None:
        return (*head, epoch)
    return (*head, epoch, score(running.progress.metrics, primary), f"{left} left")


def _progress(running: Running) -> tuple[str, ...]:
    """Trial, cell, repeat, how far it is, and the time left or that it gives no sign."""
    trial, progress = running.trial, running.progress
    head = (trial.id[:8], trial.cell, repeat_name(trial.seed, trial.fold))
    if progress is None:
        return (*head, "starts", "")
    left = duration(running.left)
    if running.silent is not None:
        left = f"no sign for {duration(running.silent)}"
    stage = f"{progress.stage}: " if progress.stage else ""
    epoch = f"{stage}epoch {progress.epoch}/{progress.epochs}"
    if progress.step is not None:
        epoch += f" step {progress.step}/{progress.steps}"
    return (*head, epoch, left)


def _ended(record: Record, primary: str) -> str:
    trial = record.trial
    where = f"{record.id[:8]} {trial['cell']} {repeat_name(trial['seed'], trial.get('fold'))}"
    if record.result is None or record.status != "finished":
        from assay.report.page.inline import visible

        return visible(f"{where} {record.status}: {record.reason or 'no reason noted'}")
    value = record.result.metrics.get(primary)
    return f"{where} finished" + ("" if value is None else f": {primary} {value:.3f}")
