"""What ends a run from outside: a signal, also while Ray waits in C++, a Ray that died, a request to stop.

Signals are noted by Python's wakeup descriptor, which the kernel's handler writes even while the main thread
waits where no Python runs. A thread reads it. It gives the run some seconds to end in order, then raises
KeyboardInterrupt in the midst of the work, and at last ends the process, after the lease was released.
The last is for the program alone: a notebook's kernel, or a test's, is not the run's to end.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Self

from assay.faults import Interrupted, RayLost
from assay.storage import Lease, Store
from assay.storage.lease import stop_requested

__all__ = ["STOPS", "Ending", "stop_on_request"]

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ORDERLY_SECONDS = 4.0  # that a stop may take until the work is left in the midst
_LAST_SECONDS = 8.0  # that all may take until the process is ended
_RELEASE_SECONDS = 1.0
_POLL_SECONDS = 0.2
_REQUEST_SECONDS = 1.0  # between two looks for a request
_LOSS = 0  # no signal has this number


class Ending:
    """Watches over a run, for the length of a ``with`` block in the main thread. Elsewhere it is idle."""

    def __init__(self, *, ends_process: bool = False) -> None:
        """``ends_process``: the process is the run's own, and may be ended with it."""
        self.lost: str | None = None  # which part of Ray is gone
        self.interrupted = False
        self._ends_process = ends_process
        self._releases: list[Callable[[], object]] = []
        self._working = False
        self._settled = False
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._reader, self._writer = socket.socketpair()

        # For each signal Python's own handler writes a byte here, wherever the main thread is: a full socket
        # must not hold it up.
        self._writer.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._handler = signal.signal(signal.SIGUSR2, self._leave_work)
        self._thread = threading.Thread(target=self._watch, name="assay-ending", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is None:
            return
        self._over.set()
        signal.set_wakeup_fd(self._wakeup)
        if self._handler is not None:  # one that Python did not set it cannot set again
            signal.signal(signal.SIGUSR2, self._handler)
        self._writer.close()
        self._thread.join()
        self._reader.close()

    @contextmanager
    def releasing(self, release: Callable[[], object]) -> Generator[None]:
        """Call ``release`` should the process have to be ended within this block."""
        self._releases.append(release)
        try:
            yield
        finally:
            self._releases.remove(release)

    @contextmanager
    def work(self) -> Generator[None]:
        """Mark what may be left in the midst, by a KeyboardInterrupt."""
        self._working = True
        try:
            yield
        finally:
            self._working = False

    def settle(self) -> None:
        """Say that Ray was left: a loss need not end the process any more, but a signal may."""
        self._settled = True

    def lose(self, reason: str) -> None:
        """Say, from any thread, that Ray is gone: the run ends now."""
        if self.lost is None:
            self.lost = reason
            if self._thread is not None:
                with suppress(OSError):  # the block was left meanwhile
                    self._writer.send(bytes([_LOSS]))

    def came_within(self, seconds: float) -> bool:
        """Wait until a signal or a loss is known: what breaks because of it can be faster than its news."""
        until = time.monotonic() + seconds
        while not (self.interrupted or self.lost) and time.monotonic() < until:
            time.sleep(_POLL_SECONDS / 4)
        return self.interrupted or self.lost is not None

    def _leave_work(self, number: int, frame: FrameType | None) -> None:
        if self._working:
            raise KeyboardInterrupt

    def _watch(self) -> None:
        main = threading.main_thread().ident
        assert main is not None

        # Two deadlines: at the first the work is left in the midst, at the second the process is ended. A
        # signal gives the work some seconds before; after a loss nothing of Ray's can end in order, so it is
        # left at once.
        leave, end = float("inf"), float("inf")
        while not self._over.is_set():
            now = time.monotonic()
            for number in self._news():
                if number == _LOSS:
                    leave = min(leave, now)
                elif number in STOPS:
                    self.interrupted = True
                    leave = min(leave, now + _ORDERLY_SECONDS)
                else:
                    continue
                end = min(end, now + _LAST_SECONDS)

            # Ray was left in order: its loss does not matter any more.
            if self._settled and not self.interrupted:
                leave, end = float("inf"), float("inf")
            if self._ends_process and now >= end:
                self._end()

            # One thread cannot raise in another. The handler of this signal raises KeyboardInterrupt in the
            # main thread.
            if now >= leave and not self._over.is_set():
                leave = now + 1.0  # again: what runs there may have swallowed it
                signal.pthread_kill(main, signal.SIGUSR2)

    def _news(self) -> bytes:
        self._reader.settimeout(_POLL_SECONDS)  # `select` takes no descriptor above 1,023
        with suppress(TimeoutError):
            return self._reader.recv(64)
        return b""

    def _end(self) -> None:
        """End the process: the terminal is put right, and who waits for the lease need not."""
        # Each release writes to a storage that may be away, and gets a second. A lease that stays held is
        # taken over when it is stale.
        threads = [threading.Thread(target=release, daemon=True) for release in self._releases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_RELEASE_SECONDS)
        if sys.stdout.isatty():
            os.write(1, b"\x1b[?25h\n")  # a display hides the cursor

        # The main thread may never come back from C++, so the sentence goes past Python's buffers, and no
        # exception is raised.
        fault = Interrupted() if self.interrupted else RayLost(self.lost or "Ray ended")
        with suppress(OSError):
            os.write(2, f"{fault.line}\n".encode())
        os._exit(fault.exit_code)


@contextmanager
def stop_on_request(store: Store, study: str, lease: Lease) -> Generator[None]:
    """Turn a stop request on the storage, or a lease that another run took over, into what Ctrl-C does."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_REQUEST_SECONDS):
            try:
                stopping = stop_requested(store, "study", study)
            except OSError:
                stopping = False  # the storage is away for a moment: the next look will tell

            # A signal to this very process: a request from elsewhere then takes the way of Ctrl-C, with its
            # order and its deadlines.
            if stopping or lease.lost.is_set():
                os.kill(os.getpid(), signal.SIGINT)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
