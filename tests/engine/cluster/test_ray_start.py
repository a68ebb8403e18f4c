"""Ray on this machine: where it lies, how long a start may take, and who can reach it."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest

from assay.engine.cluster import local_ray, ray_head
from assay.engine.cluster.local_ray import LocalRay, patience
from trainables.errors import InputError


@pytest.mark.parametrize(
    ("load", "cores", "seconds"), [(0.0, 2, 60.0), (2.0, 2, 60.0), (8.0, 2, 240.0), (100.0, 2, 600.0)]
)
def test_patience_grows_with_the_load_of_each_core_to_ten_minutes(
    load: float, cores: int, seconds: float
) -> None:
    assert patience(load, cores) == seconds


@pytest.fixture
def short_tmpdir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """TMPDIR of this test alone, short enough for a socket."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    folder.rmdir()  # it is empty


def _small_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_ray, "_OBJECT_STORE_BYTES", 1)  # Ray refuses so small a store


def _broken_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_gcs_storage", "nowhere")


def _no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_ray, "patience", lambda load, cores: 0.0)


@pytest.mark.usefixtures("short_tmpdir")
@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (_small_store, r"\(the start ended: ValueError: .*bytes.*\)\. Train without Ray: .* --local"),
        (
            _broken_server,
            r"\(gcs_server ended: exit code 1: .*storage type: nowhere\)\. Train without Ray: .* --local",
        ),
        (
            _no_time,
            r"not ready after 0 s\)\. The load is \d+ on \d+ core.*, or train without Ray: .* --local",
        ),
    ],
    ids=["a store too small", "a gcs_server that gives up", "no time"],
)
def test_a_start_that_fails_is_tried_three_times_and_ends_in_one_sentence_with_the_cause_and_the_way_out(
    monkeypatch: pytest.MonkeyPatch, harm: Callable[[pytest.MonkeyPatch], None], sentence: str
) -> None:
    harm(monkeypatch)
    tries: list[str] = []
    with pytest.raises(InputError, match=f"not in 3 tries .*{sentence}"):
        LocalRay.start(1, tries.append)
    assert len(tries) == 3


@pytest.mark.usefixtures("short_tmpdir")
def test_a_start_without_a_free_port_says_so() -> None:
    with ExitStack() as taken:
        for port in ray_head._FREE_PORTS:
            probe = taken.enter_context(socket.socket())
            with suppress(OSError):  # another's
                probe.bind(("127.0.0.1", port))
        ray = LocalRay._begin(1)
        reason, slow = ray._wait(60)
        ray.end()
    assert reason.startswith("the start ended: RuntimeError: Ray needs 1 free ports of 32000 to 32767")
    assert not slow


def test_the_folder_is_closed_to_other_users_and_short_enough_for_a_socket_whatever_tmpdir_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("long" * 30)))
    folder = local_ray._new_folder()
    try:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert len(str(folder)) < 40
    finally:
        folder.rmdir()


@pytest.fixture(scope="module", params=["lean", "public"])
def living(request: pytest.FixtureRequest) -> Iterator[LocalRay]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_RAY_START", request.param)
        ray = LocalRay.start(1)
    yield ray
    ray.end()
    assert not ray.folder.exists()


def test_what_a_killed_run_left_is_removed_by_the_next_and_what_a_living_one_uses_is_kept(
    living: LocalRay,
) -> None:
    left = local_ray._new_folder()
    (left / "alive").touch()  # nobody holds its lock
    other = local_ray._new_folder()
    other.rmdir()
    assert not left.exists()
    assert living.folder.exists()


def test_ray_listens_on_this_machine_alone(living: LocalRay) -> None:
    family = [process for process in psutil.process_iter() if _session(process.pid) == living.child.pid]
    sockets = [
        connection.laddr.ip
        for process in family
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(sockets) >= 3
    assert {address.removeprefix("::ffff:") for address in sockets} == {"127.0.0.1"}


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


_STARTS = """
import sys
from assay.engine.cluster.local_ray import LocalRay
ray = LocalRay.start(1)
print(ray.child.pid, ray.folder, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("start", ["lean", "public"])
@pytest.mark.parametrize("both", [False, True], ids=["the run", "the run and what keeps the others"])
def test_nothing_of_ray_outlives_a_run_that_is_killed(both: bool, start: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _STARTS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "ASSAY_RAY_START": start},
    )
    assert process.stdout is not None
    leader, folder = process.stdout.readline().split()
    family = [one for one in psutil.process_iter() if _session(one.pid) == int(leader)]
    assert len(family) >= 4
    process.kill()
    if both:
        os.kill(int(leader), signal.SIGKILL)
    process.communicate()
    psutil.wait_procs(family, timeout=10)
    assert [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    assert not Path(folder).exists()


def test_a_gcs_server_that_dies_before_it_is_ready_is_named_at_once() -> None:
    ray = LocalRay._begin(1)
    try:
        servers: list[psutil.Process] = []
        while not servers:
            children = psutil.Process(ray.child.pid).children()
            servers = [child for child in children if child.name() == "gcs_server"]
        servers[0].kill()
        assert ray._wait(30) == ("gcs_server ended: killed by SIGKILL", False)
    finally:
        ray.end()


_JOINS = """
import ray
from assay.engine.cluster.cluster import cluster
from assay.engine.interrupts import Ending
with cluster(1, Ending(), lambda text: None):
    print(ray.get(ray.put("joined")))
"""
_MOUNT = 'mount -t tmpfs -o size=1m none /dev/shm && exec "$@"'
_SMALL_SHM = ("unshare", "--map-root-user", "--mount", "sh", "-c", _MOUNT, "sh")


@pytest.mark.parametrize(
    ("environment", "prefix"),
    [
        pytest.param(
            {"HOME": None, "TMPDIR": "/tmp/" + "long" * 30}, (), id="no HOME, a TMPDIR too long for a socket"
        ),
        pytest.param(
            {"HOME": "/proc/nowhere"}, _SMALL_SHM, id="a HOME that cannot be made, a small /dev/shm"
        ),
    ],
)
def test_ray_starts_in_odd_surroundings(environment: dict[str, str | None], prefix: tuple[str, ...]) -> None:
    known = {**os.environ, **environment}
    joined = subprocess.run(
        [*prefix, sys.executable, "-c", _JOINS],
        env={name: value for name, value in known.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert joined.stdout == "joined\n", joined.stderr


_JOINS_WITHOUT = """
import sys
from assay.engine.cluster import cluster
from assay.engine.cluster import ray_head
from assay.engine.interrupts import Ending
ray_head.read_environment = lambda: False
if sys.argv[1] == "before":
    import ray
for _ in range(2):
    with cluster.cluster(1, Ending(), lambda text: None):
        import ray
        print(ray.get(ray.put("joined")))
"""


@pytest.mark.parametrize(
    ("loaded", "output", "refusal"),
    [
        ("by the run", "joined\njoined\n", ""),
        ("before", "", "Ray reads its token when it is loaded, found it loaded by this process before"),
    ],
)
def test_a_ray_that_the_run_loads_is_joined_by_public_names_alone(
    loaded: str, output: str, refusal: str
) -> None:
    joined = subprocess.run(
        [sys.executable, "-c", _JOINS_WITHOUT, loaded], capture_output=True, text=True, check=False
    )
    assert joined.stdout == output, joined.stderr
    assert refusal in joined.stderr


def test_a_start_the_public_way_says_so_and_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_RAY_START", "public")
    lines: list[str] = []
    LocalRay.start(1, lines.append).end()
    assert len(lines) == 2
    assert re.match(r"starting Ray\b", lines[0])
    assert re.match(r"Ray \d\S+ is started the public way \(ASSAY_RAY_START=public\): it takes ", lines[1])


@pytest.mark.parametrize(("tested", "last"), [(True, ""), (False, "its quick start failed")])
def test_the_last_try_of_a_release_that_was_not_tested_is_a_public_start(
    monkeypatch: pytest.MonkeyPatch, tested: bool, last: str
) -> None:
    monkeypatch.setattr(ray_head, "TRIED", (version("ray"),) if tested else ())
    assert [local_ray._public_reason(turn) for turn in (1, 2, 3)] == ["", "", last]


def test_a_child_of_the_raylet_that_is_not_yet_its_own_program_is_no_agent(tmp_path: Path) -> None:
    """The raylet's command names its agents, and what it forks has that command for a moment."""
    program = tmp_path / "raylet.py"
    program.write_text(
        "import os, subprocess, sys, time\n"
        "if os.fork() == 0:\n    time.sleep(60)\n"
        "agent = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', 'runtime_env'])\n"
        "print(agent.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    raylet = subprocess.Popen(
        [sys.executable, str(program), "--runtime_env_agent"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert raylet.stdout is not None
        agent = int(raylet.stdout.readline())
        assert ray_head._agents_of(raylet.pid) == {agent: "RuntimeEnvAgent"}
    finally:
        ray_head.kill_session(raylet.pid)
        raylet.communicate()


def test_ports_for_ray_are_none_that_linux_gives_to_others() -> None:
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    first, second = ray_head.free_ports(2)
    assert first != second
    assert all(20_000 <= port < first_given for port in (first, second))


def test_a_port_for_ray_is_one_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(ray_head, "_FREE_PORTS", range(port, port + 1))
        with pytest.raises(RuntimeError, match=r"needs 1 free ports of .*, found 0"):
            ray_head.free_ports(1)
