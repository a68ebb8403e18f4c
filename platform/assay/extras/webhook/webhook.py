"""Calls a URL with the status of a study, without ever making the study wait.

A thread of its own delivers, because a server that is away costs seconds a call. What was not delivered is
said in one line at the end. The URL may be a secret as a whole: only its host is ever shown.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from http.client import HTTPException
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from pydantic import Field

from assay.report.answers.base import schema_name
from assay.report.answers.progress import StatusAnswer, status_answer
from assay.storage.redaction import redact
from trainables.errors import InputError

if TYPE_CHECKING:
    from assay.analysis.results.followed import StudyState
    from assay.storage import Store

__all__ = ["VARIABLE", "Webhook", "WebhookAnswer", "listener"]

VARIABLE = "ASSAY_WEBHOOK"
_TRIES = 3
_TIMEOUT = 5.0  # seconds of a try
_PAUSE = 1.0  # seconds between tries
_PATIENCE = 20.0  # seconds that the end of a run waits at most: three tries
_BRIEFLY = 2.0  # where the run was interrupted
_STALLED_AFTER = 600.0  # seconds without a trial that gives signs of life
_REASON_CHARACTERS = 200

Event = Literal["ended", "stalled", "settled"]


class WebhookAnswer(StatusAnswer):
    """The body of a call: the state of the study, and why it is told."""

    # A model is frozen, so that its fields may narrow those of its base.
    schema_: Literal["assay/webhook/1"] = schema_name("assay/webhook/1")  # pyright: ignore[reportIncompatibleVariableOverride]
    event: Event = Field(description="Why the URL is called.")


def listener(store: Store) -> Webhook | None:
    """The webhook that the environment names; None: it names none.

    Raises:
        InputError: If what it names is no URL of HTTP.
    """
    url = os.environ.get(VARIABLE)
    return Webhook(url, store) if url else None


class Webhook:
    """Sees each state of a study, and delivers from entering to leaving a ``with`` block.

    Args:
        url: To POST to.
        store: Where the study lies.
        stalled_after: Seconds without a trial that gives signs of life.
        pause: Seconds between tries.

    Raises:
        InputError: If the URL is none of HTTP.
    """

    def __init__(
        self,
        url: str,
        store: Store,
        *,
        stalled_after: float = _STALLED_AFTER,
        pause: float = _PAUSE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request, self.host = _request(url)
        self._store, self._stalled_after, self._pause, self._clock = store, stalled_after, pause, clock
        self._bodies: queue.SimpleQueue[tuple[Event, bytes] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._deliver, name="assay-webhook", daemon=True)
        self._state: StudyState | None = None  # the last one
        self._sign_of_life = clock()
        self._stalled = self._settled = False
        self._failure: str | None = None  # of the last call that was not delivered
        self._patience = _PATIENCE

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call("ended")
        self._bodies.put(None)
        self._thread.join(self._patience if kind is None else _BRIEFLY)

    def interrupt(self) -> None:
        """Say that the run was interrupted: leaving the block then waits a moment at most."""
        self._patience = _BRIEFLY

    @property
    def trouble(self) -> str | None:
        """Why a call was not delivered, as a sentence; None: all were. Asked after the ``with`` block."""
        failure = self._failure
        if failure is None and self._thread.is_alive():
            failure = f"`ended`: no answer within {self._patience:g} s"
        return None if failure is None else f"the webhook at {self.host} was not told of {failure}"

    def see(self, state: StudyState) -> None:
        """Take note of a state of the study; returns at once."""
        first, self._state = self._state is None, state
        now, snapshot = self._clock(), state.snapshot
        if first or snapshot.ended or any(running.silent is None for running in snapshot.running):
            self._sign_of_life, self._stalled = now, False

        # A study that had settled before this run is no news.
        over = state.decisions is not None and state.decisions.over
        if over and not self._settled and not first:
            self._call("settled")
        self._settled = over

        # Said once, until a trial moves again.
        left = snapshot.done < snapshot.total
        if left and not self._stalled and now - self._sign_of_life >= self._stalled_after:
            self._stalled = True
            self._call("stalled")

    def _call(self, event: Event) -> None:
        """Queue a call; nothing to say before a state was seen: the run was refused."""
        if self._state is not None:
            status = status_answer(self._store, self._state, held=event != "ended")
            body = WebhookAnswer(**dict(status), event=event)
            self._bodies.put((event, body.text(indent=None).encode()))

    def _deliver(self) -> None:
        opener = build_opener(_NoRedirect)
        while (call := self._bodies.get()) is not None:
            event, self._request.data = call
            failure = self._post(opener)
            if failure is not None:
                self._failure = f"`{event}`: {failure}"

    def _post(self, opener: OpenerDirector) -> str | None:
        """Try three times; why the last one failed, or None: the call was taken."""
        failure = None
        for number in range(_TRIES):
            if number:
                time.sleep(self._pause)
            try:
                with opener.open(self._request, timeout=_TIMEOUT):
                    return None
            except HTTPError as error:
                with error:
                    failure = f"HTTP {error.code}"
            except (OSError, HTTPException, ValueError) as error:  # urllib's own errors are OSErrors
                reason = getattr(error, "reason", None) or error
                text = " ".join(str(reason).split()) or type(error).__name__
                failure = redact(text)[:_REASON_CHARACTERS]  # not cut before: half a URI hides its password
        return failure


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
        raise InputError(
            f"{rule}, found one of {len(url)} characters that is no URL. Correct {VARIABLE}."
        ) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        raise InputError(
            f"{rule}, found the scheme {parts.scheme or 'none'!r} and {'a' if parts.hostname else 'no'} "
            f"host. Correct {VARIABLE}."
        )

    # urllib takes no user and password in a URL: they go into a header, and what is shown is the host alone.
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port is None else f"{host}:{port}"
    request = Request(parts._replace(netloc=place, fragment="").geturl(), method="POST")
    request.add_header("Content-Type", "application/json")
    request.add_header("User-Agent", "assay")
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
    return request, place
