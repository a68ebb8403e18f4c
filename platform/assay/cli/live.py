"""The display of `assay run` and `assay status`: fed by the storage, never silent for ten seconds.

On a terminal a bar and a table of what is training, with its curves; elsewhere (a log file, CI) one plain
line for each trial that ends, and one at least every eight seconds.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from assay.analysis.results.watch import Snapshot, score, score_names
from assay.cli.output import duration
from assay.storage.files.files import KEPT, PATIENCE_SECONDS
from assay.storage.progress import Progress, Running
from assay.study.planning.repeats import repeat_name
from trainables.errors import StorageAway

if TYPE_CHECKING:
    from assay.analysis.decisions import StudyDecisions
    from assay.analysis.results.followed import FollowedStudy, StudyState
    from assay.storage import Store
    from assay.storage.record import Record
    from assay.study import Plan

__all__ = ["Curve", "Curves", "LiveView", "render", "sparks"]


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
        self._waits_since: float | None = None  # for an answer of the storage
        self._last_line = self._start  # when the last plain line was printed
        self._followed: FollowedStudy | None = None
        self._primary = ""
        self._curves = Curves("")  # of the study that is followed
        self._listeners: tuple[Callable[[StudyState], None], ...] = (self._show,)
        self._snapshot: Snapshot | None = None
        self._decisions: StudyDecisions | None = None  # of a study that decides
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._follower = threading.Thread(target=self._follow, name="assay-progress", daemon=True)
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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in (self._follower, self._teller):
            if thread.is_alive():
                thread.join(timeout=5)
        if self._followed is not None and kind is None and not self._follower.is_alive():
            self._listen()  # to what ended since the last look
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

    def follow(self, plan: Plan, store: Store, *listeners: Callable[[StudyState], None]) -> None:
        """Show the trials of ``plan`` from now on.

        Args:
            plan: Of the study.
            store: Where it lies.
            listeners: Called with every state that is shown: the first before this returns, the last when the
                block ends.
        """
        from assay.analysis.results.followed import FollowedStudy
        from assay.study.planning.stage_graph import stages_of

        name, self._primary = plan.study.study, plan.study.metrics.primary
        self._curves = Curves(self._primary)
        self._listeners = (self._show, *listeners)
        self._followed = FollowedStudy(store, name, plan=plan, since=self._since, stages_of=stages_of)
        self._listen()
        self._follower.start()

    @property
    def seconds(self) -> float:
        """Since the view was made."""
        return time.monotonic() - self._start

    def _follow(self) -> None:
        assert self._followed is not None, "it was asked to follow"
        while not self._over.wait(min(self._followed.pause, self._line_every)):
            self._listen()

    def _listen(self) -> None:
        """Look at the study once, and tell all listeners."""
        assert self._followed is not None, "it was asked to follow"
        self._waits_since = time.monotonic()
        try:
            state = self._followed.look()
            for listener in self._listeners:
                listener(state)
            self._trouble, self._trouble_told = "", False
        except OSError as error:
            # The study itself decides whether a storage that is away is fatal; the display goes on.
            self._trouble = str(error)
            if isinstance(error, StorageAway):
                self._trouble = self._trouble.replace(KEPT, _ASKED_AGAIN)
        finally:
            self._waits_since = None

    def _tell(self) -> None:
        """Print a line where none came for a while; a look may wait long for a storage that is silent."""
        pause = self._line_every
        while not self._over.wait(pause):
            pause = self._last_line + self._line_every - time.monotonic()
            if pause <= 0:
                self._line(self._summary())
                pause = self._line_every

    def _show(self, state: StudyState) -> None:
        snapshot = self._snapshot = state.snapshot
        self._decisions = state.decisions
        self._curves.see(snapshot.running)
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
        waits_since = self._waits_since
        if waits_since is not None and time.monotonic() - waits_since >= self._line_every:
            return f"waiting for the storage for {duration(time.monotonic() - waits_since)}"
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


# Curves ------------------------------------------------------------------------------------------------


_BARS = "▁▂▃▄▅▆▇█"
_POINTS = 10  # of a curve: those that were seen last
_SLOWER = 2.0  # times a trial's fastest epochs; below that the pace varies by itself
_CROWDED = 1.5  # processes that want a core; of a study alone there are few more than one


class Curve(NamedTuple):
    """The score of a trial, as far as it was seen."""

    name: str  # primary metric, `validation.` and it, or loss
    values: tuple[float, ...]  # at least one, the newest last

    def __str__(self) -> str:
        return f"{self.values[-1]:.3f} {sparks(self.values)}".rstrip()


@dataclass
class _Seen:
    """Heartbeats of one attempt at a trial, or at a stage of it, as far as they were seen."""

    epoch: int = -1
    values: dict[str, deque[float]] = field(default_factory=dict)
    pace: float = 0.0  # seconds per epoch, the newest; 0: not known
    fastest: float = 0.0


class Curves:
    """Collects heartbeats of the trials that run.

    Args:
        primary: The metric whose validations are wanted; the loss stands in where none was seen.
    """

    def __init__(self, primary: str) -> None:
        self._names = score_names(primary)
        self._seen: dict[tuple[str, str, str], _Seen] = {}

    def see(self, running: Iterable[Running]) -> None:
        """Add the newest heartbeats, and forget the trials that run no more."""
        beats = [trial.progress for trial in running if trial.progress is not None]
        self._seen = {_attempt(beat): self._seen.get(_attempt(beat), _Seen()) for beat in beats}
        for beat in beats:
            seen = self._seen[_attempt(beat)]
            if beat.epoch > seen.epoch:
                self._add(seen, beat)

    def _add(self, seen: _Seen, beat: Progress) -> None:
        seen.epoch = beat.epoch
        for name in self._names:
            value = beat.metrics.get(name)
            if value is not None:
                seen.values.setdefault(name, deque(maxlen=_POINTS)).append(value)
        if beat.seconds_per_epoch and beat.host == socket.gethostname():
            seen.pace = beat.seconds_per_epoch
            seen.fastest = min(seen.fastest or seen.pace, seen.pace)

    def of(self, progress: Progress) -> Curve | None:
        """The curve of a trial by its heartbeat; None before it has a score."""
        seen = self._seen.get(_attempt(progress), _Seen())
        for name in self._names:
            if name in seen.values:
                return Curve(name, tuple(seen.values[name]))
        return None

    def slow(self, load: float, cores: int) -> str:
        """Name the load where it is the cause of slow trials, else "".

        It is where half as much again wants to run as there are ``cores`` (a study alone wants them all), and
        a trial of this machine takes twice as long for an epoch as it took at its fastest.

        Args:
            load: Processes that run or want to, a mean over the last minute.
            cores: Of this machine.
        """
        slower = max((seen.pace / seen.fastest for seen in self._seen.values() if seen.fastest), default=1.0)
        if load < _CROWDED * cores or slower < _SLOWER:
            return ""
        noun = "core" if cores == 1 else "cores"
        return f"slow: load {load:.0f} on {cores} {noun}, epochs take {slower:.1f} times their fastest"


def sparks(values: Iterable[float]) -> str:
    """A bar for each value, between their least and their largest; "" for fewer than two."""
    heights = tuple(values)
    if len(heights) < 2:
        return ""
    least, spread = min(heights), max(heights) - min(heights)
    if spread == 0:
        return _BARS[len(_BARS) // 2] * len(heights)
    return "".join(_BARS[round((value - least) / spread * (len(_BARS) - 1))] for value in heights)


def _attempt(progress: Progress) -> tuple[str, str, str]:
    return progress.trial, progress.attempt, progress.stage
