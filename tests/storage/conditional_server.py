"""Small object servers of the tests' own: S3, Google's and Azure's requests, with or without conditions."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

__all__ = ["Conditions", "ObjectServer", "object_server"]

Conditions = Literal["kept", "ignored", "If-Match ignored", "unknown"]


class ObjectServer:
    """Objects by path, and the conditions that requests carried."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.objects: dict[str, tuple[bytes, int]] = {}  # content and generation
        self.seen: list[str] = []  # conditions of the writes, in their order


@contextmanager
def object_server(conditions: Conditions = "kept") -> Iterator[ObjectServer]:
    """A server on a free port within the block; ``conditions``: what it does with conditional writes."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, status: int, body: bytes = b"", tag: tuple[bytes, int] | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Last-Modified", "Sun, 22 Nov 2026 20:00:00 GMT")
            if tag is not None:
                self.send_header("ETag", etag(tag[0]))
                self.send_header("x-goog-generation", str(tag[1]))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.partition("?")[0]
            names = ("If-None-Match", "If-Match", "x-goog-if-generation-match")
            given = {name: self.headers[name] for name in names if self.headers[name] is not None}
            with lock:
                server.seen += [f"{name}: {value}" for name, value in given.items()]
                if given and conditions == "unknown":
                    return self._answer(501, b"<Error><Code>NotImplemented</Code></Error>")
                if not self._holds(server.objects.get(path), given):
                    return self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
                generation = server.objects.get(path, (b"", 0))[1] + 1
                server.objects[path] = data, generation
            return self._answer(200, tag=(data, generation))

        def _holds(self, current: tuple[bytes, int] | None, given: dict[str, str]) -> bool:
            if conditions == "ignored":
                return True
            if "If-None-Match" in given and current is not None:
                return False
            if "If-Match" in given and conditions != "If-Match ignored":
                return current is not None and given["If-Match"] == etag(current[0])
            wanted = given.get("x-goog-if-generation-match")
            return wanted is None or int(wanted) == (0 if current is None else current[1])

        def do_GET(self) -> None:
            current = server.objects.get(self.path.partition("?")[0])
            if current is None:
                return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return self._answer(200, current[0], current)

        def do_DELETE(self) -> None:
            server.objects.pop(self.path.partition("?")[0], None)
            self._answer(204)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server = ObjectServer(listening.server_address[1])
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield server
        listening.shutdown()


def etag(data: bytes) -> str:
    """As S3 makes it."""
    return f'"{hashlib.md5(data).hexdigest()}"'
