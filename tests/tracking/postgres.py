"""A real PostgreSQL for MLflow's runs: Debian's, on a Unix socket, with its files in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.waiting import wait_for

_PROGRAMS = "/usr/lib/postgresql"
_USER = "postgres"  # of the system and of the database


def has_postgres() -> bool:
    """True where a server can be run: as root, with Debian's PostgreSQL."""
    return not os.geteuid() and any(Path(_PROGRAMS).glob("*/bin"))


@contextmanager
def postgres_database() -> Iterator[str]:
    """A server's URI, as SQLAlchemy reads it; without Debian's PostgreSQL the test is skipped."""
    programs = sorted(Path(_PROGRAMS).glob("*/bin"))
    if not has_postgres():
        pytest.skip("needs root and Debian's postgresql, which .ci/run installs")
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))  # the path of a socket is short
    shutil.chown(folder, _USER)
    data, log = folder / "data", folder / "log"
    make = [programs[-1] / "initdb", "--auth=trust", "--no-sync", "-D", data]
    subprocess.run(make, user=_USER, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    serve = [
        programs[-1] / "postgres",
        "-D",
        data,
        "-k",
        folder,
        "-c",
        "listen_addresses=",
        "-c",
        "fsync=off",
    ]
    with log.open("wb") as output:
        server = subprocess.Popen(serve, user=_USER, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    ready = [programs[-1] / "pg_isready", "--quiet", "-h", folder]
    try:
        wait_for(lambda: not subprocess.run(ready, check=False).returncode, said=log.read_text)
        yield f"postgresql+psycopg2://{_USER}@/{_USER}?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)  # without waiting for its clients
        server.wait(60)
        shutil.rmtree(folder)
