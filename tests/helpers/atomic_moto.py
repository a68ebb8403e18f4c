"""``python -m tests.helpers.atomic_moto -p PORT``: moto's server, that compares and writes in one step.

moto looks whether an object is there and writes it later, and another thread may come between: on a busy
machine two creations of one object both succeed. S3 promises that one does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from moto import server

__all__ = ["Atomic"]

_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")


class Atomic:
    """A WSGI application that answers requests with a condition one at a time."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not any(name in environ for name in _CONDITIONS):
            return self._application(environ, start_response)
        with self._lock:
            return list(self._application(environ, start_response))


if __name__ == "__main__":
    run_simple = server.run_simple
    server.run_simple = lambda host, port, application, **options: run_simple(
        host, port, Atomic(application), **options
    )
    server.main()
