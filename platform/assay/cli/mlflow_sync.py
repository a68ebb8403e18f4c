"""Listeners to a run: MLflow is kept up to date and a URL is called, without ever making the study wait.

Each has a thread of its own, because a server that is away costs seconds a question. Records that MLflow did
not get, for whatever reason, are replayed by the next `assay run` or by `assay mlflow --sync`. What a webhook
did not get is said in one line at the end. Its URL may be a secret as a whole: only its host is ever shown.
"""

from __future__ import annotations

import os
import queue
import textwrap
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from http.client import HTTPException
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.analysis.results.followed import StudyState
    from assay.report.answers.progress import Notice
    from assay.storage import Record, Store
    from assay.storage.progress import Progress
    from assay.study import Plan
    from assay.tracking import MlflowMirror

__all__ = ["VARIABLE", "Mirror", "Webhook"]


# MLflow ------------------------------------------------------------------------------------------------


_MLFLOW_PATIENCE = 2.0  # with the four seconds of an orderly stop before the process is ended
_MESSAGE_CHARACTERS = 300
_MLFLOW_PAUSE = 3.0  # seconds between two deliveries; longer when one takes long


class Mirror:
    """Delivers records and the epochs of what trains to MLflow from entering to leaving a ``with`` block.

    Args:
        plan: Whose records.
        store: Where they lie.
        uri: MLflow's tracking URI; None: the store's own SQLite, if it has a place for one.
        say: Shows a message to the user.
        patience: Seconds that the end of an interrupted run waits for MLflow.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        uri: str | None,
        say: Callable[[str], None],
        patience: float = _MLFLOW_PATIENCE,
    ) -> None:
        self._plan, self._store, self._uri, self._say = plan, store, uri, say
        self._patience = patience
        self._news = threading.Event()
        self._news.set()  # records of earlier runs that MLflow has not seen
        self._over = threading.Event()
        self._beats: queue.SimpleQueue[Progress] = queue.SimpleQueue()  # of epochs that were not told
        self._epochs: dict[str, tuple[str, int]] = {}  # attempt and epoch of each trial's last heartbeat
        self._thread = threading.Thread(target=self._deliver, name="assay-mlflow", daemon=True)
        self._interrupted = False
        self._settled: dict[str, Record] = {}  # those that no run replaces: read once
        self._lacking: str | None = None  # why MLflow lacks something

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._say("telling MLflow")
        # Interrupted: what does not make it is replayed later.
        self._thread.join(timeout=self._patience if kind is not None or self._interrupted else None)

    @property
    def lacking(self) -> str | None:
        """Why MLflow lacks some results; None when it has everything. Asked after the ``with`` block."""
        if self._thread.is_alive():
            return self._lacking or f"it did not answer within {self._patience:g} s"
        return self._lacking

    def interrupt(self) -> None:
        """Say that the run was interrupted: leaving the block then waits a few seconds at most."""
        self._interrupted = True

    def see(self, state: StudyState) -> None:
        """Take note of a state of the study, of its new records and epochs; returns at once."""
        if state.snapshot.ended:
            self._news.set()
        for running in state.snapshot.running:
            beat = running.progress
            if beat is not None and self._epochs.get(beat.trial) != (beat.attempt, beat.epoch):
                self._epochs[beat.trial] = beat.attempt, beat.epoch
                self._beats.put(beat)

    def _deliver(self) -> None:
        try:
            from assay.tracking import MlflowMirror, default_uri

            uri = self._uri or default_uri(self._store)
            if uri is None:
                return
            mirror = MlflowMirror(uri, self._store)
        except Exception as error:  # noqa: BLE001 - said at the end; the study goes on
            self._lacking = _in_short(error)
            return
        pause = 0.0
        while not self._over.wait(pause):
            start = time.monotonic()
            if self._news.is_set():
                self._news.clear()
                self._tell(mirror)
            if not mirror.follow([self._beats.get() for _ in range(self._beats.qsize())]):
                self._news.set()
            # A fifth of a core at most, whatever the server takes for it.
            pause = max(_MLFLOW_PAUSE, 5 * (time.monotonic() - start))
        self._tell(mirror)
        mirror.leave()

    def _tell(self, mirror: MlflowMirror) -> None:
        from assay.analysis.results.reading import results_of_plan

        try:
            results = results_of_plan(self._plan, self._store, known=self._settled)
            settled = (record for record in results.records.values() if record.status != "failed")
            self._settled = {record.id: record for record in settled}
            report = mirror.sync(results)
            for note in report.notes:
                self._say(note)
        except Exception as error:  # noqa: BLE001 - said at the end; the study goes on, the next try may do
            self._lacking = _in_short(error)
        else:
            why = report.away or "; ".join(report.failed[:3])
            named = why if mirror.uri in why else f"{mirror.uri}: {why}"  # a database does not name itself
            self._lacking = None if report.complete else named


def _in_short(error: Exception) -> str:
    from assay.storage.redaction import redact

    text = redact(f"{type(error).__name__}: {error}")
    return textwrap.shorten(text, _MESSAGE_CHARACTERS, placeholder=" …")


# A webhook ---------------------------------------------------------------------------------------------


VARIABLE = "ASSAY_WEBHOOK"
_TRIES = 3
_TIMEOUT = 5.0  # seconds of a try
_PAUSE = 1.0  # seconds between tries
_PATIENCE = 20.0  # seconds that the end of a run waits at most: three tries
_BRIEFLY = 2.0  # where the run was interrupted
_STALLED_AFTER = 600.0  # seconds without a trial that gives signs of life
_REASON_CHARACTERS = 200


class Webhook:
    """Sees each state of a study, and delivers from entering to leaving a ``with`` block.

    Args:
        url: To POST to; None: nobody is called.
        store: Where the study lies.
        stalled_after: Seconds without a trial that gives signs of life.
        pause: Seconds between tries.

    Raises:
        InputError: If the URL is none of HTTP.
    """

    def __init__(
        self,
        url: str | None,
        store: Store,
        *,
        stalled_after: float = _STALLED_AFTER,
        pause: float = _PAUSE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._stalled_after, self._pause, self._clock = store, stalled_after, pause, clock
        self._bodies: queue.SimpleQueue[tuple[Notice, bytes] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._state: StudyState | None = None  # the last one
        self._sign_of_life = clock()
        self._stalled = self._settled = False
        self._trouble: str | None = None
        self._patience = _PATIENCE
        self.host = ""
        if url:
            self._request, self.host = _request(url)
            os.environ[VARIABLE] = url  # whose value is blotted out of what is printed, however it was given
            self._thread = threading.Thread(target=self._deliver, name="assay-webhook", daemon=True)

    def __enter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is None:
            return
        self._tell("ended")
        self._bodies.put(None)
        self._thread.join(self._patience if kind is None else _BRIEFLY)

    def interrupt(self) -> None:
        """Say that the run was interrupted: leaving the block then waits a moment at most."""
        self._patience = _BRIEFLY

    @property
    def trouble(self) -> str | None:
        """Why a call was not delivered; None: all were. Asked after the ``with`` block."""
        if self._thread is not None and self._thread.is_alive():
            return self._trouble or f"`ended`: no answer within {self._patience:g} s"
        return self._trouble

    def see(self, state: StudyState) -> None:
        """Take note of a state of the study; returns at once."""
        if self._thread is None:
            return
        first, self._state = self._state is None, state
        now, snapshot = self._clock(), state.snapshot
        if first or snapshot.ended or any(running.silent is None for running in snapshot.running):
            self._sign_of_life, self._stalled = now, False
        over = state.decisions is not None and state.decisions.over
        if over and not self._settled and not first:
            self._tell("settled")
        self._settled = over
        left = snapshot.done < snapshot.total
        if left and not self._stalled and now - self._sign_of_life >= self._stalled_after:
            self._stalled = True
            self._tell("stalled")

    def _tell(self, event: Notice) -> None:
        from assay.report.answers.progress import status_answer

        if self._state is not None:
            status = status_answer(self._store, self._state, held=event != "ended", event=event)
            self._bodies.put((event, status.text(indent=None).encode()))

    def _deliver(self) -> None:
        opener = build_opener(_NoRedirect)
        while (notice := self._bodies.get()) is not None:
            event, body = notice
            self._request.data = body
            trouble = self._tried(opener)
            if trouble is not None:
                self._trouble = f"`{event}`: {trouble}"

    def _tried(self, opener: OpenerDirector) -> str | None:
        """Why the last of three tries failed; None: one was taken."""
        trouble = None
        for number in range(_TRIES):
            if number:
                time.sleep(self._pause)
            try:
                with opener.open(self._request, timeout=_TIMEOUT):
                    return None
            except HTTPError as error:
                with error:
                    trouble = f"HTTP {error.code}"
            except (OSError, HTTPException, ValueError) as error:  # urllib's own errors are OSErrors
                trouble = _reason(error)
        return trouble


class _NoRedirect(HTTPRedirectHandler):
    """Takes a redirection for a refusal: who may know of the study was named, and nobody else."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow none."""


def _request(url: str) -> tuple[Request, str]:
    """A POST to the URL, user and password in its header, and what may be shown of it.

    Raises:
        InputError: If it is no URL of HTTP.
    """
    rule = "a webhook is a URL such as https://host/path"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InputError(f"{rule}, found one of {len(url)} characters that is no URL. Correct it.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        raise InputError(
            f"{rule}, found the scheme {parts.scheme or 'none'!r} and {'a' if parts.hostname else 'no'} "
            f"host. Correct --notify or {VARIABLE}."
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port is None else f"{host}:{port}"
    request = Request(parts._replace(netloc=place, fragment="").geturl(), method="POST")
    request.add_header("Content-Type", "application/json")
    request.add_header("User-Agent", "assay")
    if parts.username is not None:
        if url != os.environ.get(VARIABLE):
            raise InputError(
                f"--notify holds no user and password, found those of a webhook at {parts.hostname}. Set "
                f"{VARIABLE} to the URL instead."
            )
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
    return request, place


def _reason(error: Exception) -> str:
    from assay.storage.redaction import redact  # before it is cut: half a URI hides its password

    reason = getattr(error, "reason", None) or error
    return redact(" ".join(str(reason).split()) or type(error).__name__)[:_REASON_CHARACTERS]
