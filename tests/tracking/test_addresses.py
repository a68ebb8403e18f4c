"""Addresses of MLflow: is anybody there?"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from assay.tracking import why_away, why_refused
from assay.tracking.addresses import in_short
from tests.tracking.postgres import postgres_database


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres_database() as uri:
        yield uri


def test_a_database_is_asked_whether_it_answers(database: str) -> None:
    assert why_refused(database) is None
    assert why_away(database) is None


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("postgresql://me:hunter2@127.0.0.1:1/x", "[Errno 111] Connection refused"),
        ("postgresql://me:hunter2@no-such-host.invalid/x", "Name or service not known"),
        ("http://me:hunter2@127.0.0.1:1", "Connection refused"),
    ],
)
def test_an_address_where_nobody_answers_is_away(uri: str, reason: str) -> None:
    assert reason in (why_away(uri) or "")
    assert "hunter2" not in (why_away(uri) or "")


@pytest.mark.parametrize(("status", "away"), [(401, False), (403, False), (404, True)])
def test_a_server_that_asks_for_credentials_is_there(status: int, away: bool) -> None:
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert (why_away(f"http://127.0.0.1:{server.server_port}") is not None) == away
        server.shutdown()


def test_a_database_that_the_server_does_not_have_is_away(database: str) -> None:
    assert 'database "unknown" does not exist' in (
        why_away(database.replace("/postgres?", "/unknown?")) or ""
    )


def test_a_failed_request_is_told_with_its_cause_and_cut_between_words() -> None:
    layers = (
        "API request to http://h/x failed with exception HTTPConnectionPool(host='h', port=1): Max retries "
        "exceeded with url: /x (Caused by ReadTimeoutError(\"HTTPConnectionPool(host='h', port=1): Read "
        'timed out. (read timeout=10)"))'
    )
    assert in_short(OSError(layers)) == "API request to http://h/x failed: Read timed out. (read timeout=10)"
    assert in_short(OSError("word " * 100)) == "word " * 59 + "…"


def test_a_file_of_sqlite_is_not_made_by_the_question(tmp_path: Path) -> None:
    assert why_away(f"sqlite:///{tmp_path}/new/mlflow.db") is None
