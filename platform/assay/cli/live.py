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

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from assay.analysis.names import study_names
from assay.analysis.results.watch import Snapshot, score, score_names, score_title
from assay.cli.output import duration
from assay.report.page.terminal import FittedTable
from assay.storage.files.files import KEPT, PATIENCE_SECONDS
from assay.storage.progress import Progress, Running
from assay.study.planning.repeats import repeat_name
from trainables.errors import StorageAway

if TYPE_CHECKING:
    from assay.analysis.results.followed import FollowedStudy, StudyState
    from assay.analysis.results.results import StudyResults
    from assay.storage import Store
    from assay.storage.record import Record
    from assay.study import Plan

__all__ = ["Curve", "Curves", "LiveView", "render", "sparks"]


_LINE_EVERY = 8.0  # seconds between plain lines when nothing happens
_ASKED_AGAIN = f"It is asked again. A run ends when that lasts {PATIENCE_SECONDS:.0f} s."
_ROWS = 8  # running trials shown one by one
_LATEST = 5  # trials that have ended, of a terminal
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
        self._curves = Curves("")  # of the study that is followed
        self._listeners: tuple[Callable[[StudyState], None], ...] = (self._show,)
        self._state: StudyState | None = None  # at the last look
        self._latest: deque[Text] = deque(maxlen=_LATEST)  # trials that ended, above a terminal's bar
        self._lost = 0  # trials without a result that have a line of their own on a terminal
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

        name = plan.study.study
        self._curves = Curves(plan.study.metrics.primary)
        self._listeners = (self._show, *listeners)
        self._followed = FollowedStudy(store, name, plan=plan, since=self._since, stages_of=stages_of)
        self._listen()
        self._follower.start()

    @property
    def seconds(self) -> float:
        """Seconds since the view was made."""
        return time.monotonic() - self._start

    def _follow(self) -> None:
        assert self._followed is not None, "it was asked to follow"
        while not self._over.wait(min(self._followed.pause, self._line_every)):
            self._listen()

    def _listen(self) -> None:
        """Read the state of the study once, and tell all listeners."""
        assert self._followed is not None, "it was asked to follow"
        self._waits_since = time.monotonic()
        try:
            state = self._followed.state()
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
        self._state, snapshot = state, state.snapshot
        self._curves.see(snapshot.running)
        if snapshot.ended and snapshot.done == snapshot.total and self._message == self._message_before:
            self._message = "all trials have ended"  # what was said before tells of trials to train
        self._message_before = self._message
        if self._messages_alone:
            return
        # In a log every trial has its line. A terminal keeps the first that have no result, and shows the
        # others until there are newer ones: thirty lines above the answer would push it off the screen.
        for record in snapshot.ended:
            text = _ended(record, state.results)
            if self._live is None:
                self._line(f"{snapshot.done}/{snapshot.total} {text}")
                continue
            line = Text(text, style=_STYLES.get(record.status, "dim"))
            if record.status != "finished" and self._lost < _LATEST:
                self._lost += 1
                self._print(line)
            else:
                self._latest.append(line)

    def _line(self, text: str) -> None:
        with self._lock:
            self._last_line = time.monotonic()
            self._print(Text(f"[{duration(self.seconds)}] {text}"), soft_wrap=True)

    def _print(self, text: Text, *, soft_wrap: bool = False) -> None:
        with suppress(OSError):  # of a log whose disk is full: the study goes on, and so does who listens
            self._console.print(text, soft_wrap=soft_wrap)

    def _summary(self) -> str:
        # Trouble is told in full once and then in short: plain lines would repeat it every few seconds.
        if self._trouble:
            text = "the storage cannot be read yet" if self._trouble_told else self._trouble
            self._trouble_told = True
            return text

        # A storage that hangs gives no error. That nothing came for a while is all that can be told.
        waits_since = self._waits_since
        if waits_since is not None and time.monotonic() - waits_since >= self._line_every:
            return f"waiting for the storage for {duration(time.monotonic() - waits_since)}"
        if self._state is None:
            return self._message or "starting"
        snapshot = self._state.snapshot
        done = " · ".join(
            filter(None, (f"{snapshot.done}/{snapshot.total} done", str(self._state.decisions or "")))
        )
        done += _stages(snapshot)
        slow = _slow(self._curves)
        done += f" · {slow}" if slow else ""
        if not snapshot.running:
            return f"{done} · {self._message}"
        left = _left(snapshot)
        doing = "; ".join(
            _words(running, self._state.results) for running in snapshot.running[:3] if running.silent is None
        )
        more = f" and {len(snapshot.running) - 3} more" if len(snapshot.running) > 3 else ""
        return f"{done}{left} · training {doing}{more}"

    def _render(self) -> Group:
        head = Text(f"{self._trouble or self._message} · {duration(self.seconds)}", style="bold")
        if self._state is None:
            return Group(head)
        return Group(*self._latest, head, render(self._state, self._curves))


def render(state: StudyState, curves: Curves) -> Group:
    """A bar, the counts, what waits, what is settled, and a table of the trials that are training."""
    snapshot = state.snapshot
    bar = Table.grid()
    bar.add_row(ProgressBar(total=max(1, snapshot.total), completed=snapshot.done, width=60))
    parts: list[RenderableType] = [bar, Text(f"{_counts(snapshot)}{_stages(snapshot)}{_left(snapshot)}")]
    if slow := _slow(curves):
        parts.append(Text(slow, style="yellow"))
    if state.decisions is not None:
        parts.append(Text(str(state.decisions)))
    if snapshot.running:
        parts.append(_table(snapshot.running[:_ROWS], curves, state.results))
    if len(snapshot.running) > _ROWS:
        parts.append(Text(f"and {len(snapshot.running) - _ROWS} more", style="dim"))
    return Group(*parts)


def _counts(snapshot: Snapshot) -> str:
    """Count trials by what became of them, and say what those wait for that nobody trains yet."""
    counts = [f"{snapshot.counts.get(s, 0)} {s}" for s in _STATUSES if snapshot.counts.get(s)]
    counts.append(f"{len(snapshot.running)} running")
    alive = [trial.progress for trial in snapshot.running if trial.silent is None]
    waiting = snapshot.planned - snapshot.undrawn

    # While nobody trains, trials are planned and wait for nothing.
    if not alive:
        counts.append(f"{snapshot.planned} planned")
    elif waiting:
        stages_first = all(progress is not None and progress.stage for progress in alive)
        what = "stages that trials share" if stages_first else "a free place"
        counts.append(f"{waiting} {'waits' if waiting == 1 else 'wait'} for {what}")
    if alive and snapshot.undrawn:
        counts.append(f"{snapshot.undrawn} not drawn yet")
    return " · ".join([f"{snapshot.done}/{snapshot.total} trials", *counts])


def _table(running: Sequence[Running], curves: Curves, results: StudyResults) -> FittedTable:
    """A row for each trial; the name of the score is a title where all have the same."""
    scores = [curves.of(trial.progress) if trial.progress is not None else None for trial in running]
    named = ["" if curve is None else score_title(curve.name, results.primary) for curve in scores]
    names = {*named} - {""}
    title = names.pop() if len(names) == 1 else "score"
    rows: list[tuple[str, ...]] = []
    for trial, curve, name in zip(running, scores, named, strict=True):
        *head, epoch, left = _progress(trial, results)
        epoch = epoch.replace("epoch ", "")  # its title says so
        number = "" if curve is None else str(curve) if name == title else f"{name} {curve}"
        rows.append((*head, epoch, number, left))
    titles = ("trial", "variant", "repeat", "epoch", title, "left")
    return FittedTable.of(titles, rows, right=titles[2:], spare=("trial",))


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


def _words(running: Running, results: StudyResults) -> str:
    """A running trial in a line of text, where nothing can be drawn."""
    trial, variant, repeat, epoch, left = _progress(running, results)
    words = f"{trial} {variant}, {repeat}: {epoch}"
    if running.progress is None:
        return words
    shown = score(running.progress.metrics, results.primary)
    return ", ".join(filter(None, (words, shown, f"{left} left")))


def _progress(running: Running, results: StudyResults) -> tuple[str, str, str, str, str]:
    """Trial, variant, repeat, how far it is, and the time left or that it gives no sign."""
    trial, progress = running.trial, running.progress
    variant = study_names(results).variant(trial.cell)
    head = (trial.id[:8], variant, repeat_name(trial.seed, trial.fold))
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


def _ended(record: Record, results: StudyResults) -> str:
    """``1f2e3d4c five masks, seed 0 finished: AP 0.937``, or why there is no result."""
    trial, primary = record.trial, results.primary
    variant = study_names(results).variant(trial["cell"])
    where = f"{record.id[:8]} {variant}, {repeat_name(trial['seed'], trial.get('fold'))}"
    if record.result is None or record.status != "finished":
        from assay.report.page.inline import visible

        return visible(f"{where} {record.status}: {record.reason or 'no reason noted'}")
    value = record.result.metrics.get(primary.name)
    return f"{where} finished" + ("" if value is None else f": {primary.title} {value:.3f}")


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

        # Only trials of this machine tell what its load does to them.
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
