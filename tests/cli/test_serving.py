"""Where `assay dashboard` and `assay mlflow` listen: what is at fault is named before a server starts."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from assay.cli.pages import address_of, only_here
from assay.storage import Store
from tests.cli.small_study import Assay
from tests.helpers.ports import free_port
from tests.helpers.waiting import wait_for

IPV6 = Path("/proc/net/if_inet6")
HAS_IPV6 = IPV6.exists() and bool(IPV6.read_text())
without_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "256.1.1.1",
        "nohost.invalid",
        "8.8.8.8",
        "two..dots",
        "[::1]",
    ],
)
def test_a_host_that_is_not_of_this_machine_is_refused(assay: Assay, store: Store, host: str) -> None:
    refused = assay("dashboard", "--host", host, "--port", str(free_port()), "--storage", store.uri)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(f"error: --host is an address or a name of this machine, found {host!r}.")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", pytest.param("::1", marks=without_ipv6)])
def test_a_port_that_is_taken_is_refused(assay: Assay, store: Store, host: str) -> None:
    with socket.create_server((host, 0), family=_family(host)) as taken:
        port = str(taken.getsockname()[1])
        refused = assay("dashboard", "--host", host, "--port", port, "--storage", store.uri)
    assert refused.code == 2
    assert f"cannot listen on {host}:{port}: Address already in use. Choose another --port." in refused.err


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("::", "http://[::1]:80"),
        ("lab-3", "http://lab-3:80"),
    ],
)
def test_a_browser_opens_the_address_as_it_is_shown(host: str, address: str) -> None:
    assert address_of(host, 80) == address


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("127.0.0.2", True), ("localhost", True), ("::1", True), ("::", False)],
)
def test_this_machines_own_addresses_are_known(host: str, here: bool) -> None:
    assert only_here(host) is here


def test_a_server_listens_where_it_says_and_ends_with_a_command_that_is_killed(store: Store) -> None:
    host, port = "::1" if HAS_IPV6 else "127.0.0.1", free_port()
    program = [sys.executable, "-m", "assay", "dashboard", "--host", host, "--port", str(port)]
    with subprocess.Popen(
        [*program, "--storage", store.uri], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        up = next(line for line in server.stdout if " is up" in line)
        server.kill()
    assert up.startswith(f"the dashboard is up: open {address_of(host, port)}")

    def taken() -> bool:
        with socket.socket(_family(host)) as client:
            return client.connect_ex((host, port)) == 0

    wait_for(lambda: not taken(), said=lambda: f"port {port} is taken still")
