"""A real S3 server for all tests of the storage, and the keys with which it is asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.s3_server import CREDENTIALS, S3Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user of the server has in the environment."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
