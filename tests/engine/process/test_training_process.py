"""A method in a process of its own: how its ends are told apart."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from assay.engine.durations import Limits
from assay.engine.errors import DiedError
from assay.engine.process.fork_server import ForkServer, _environment
from assay.engine.process.process import TrainingProcess
from tests.engine.process.odd_method import Odd, log_of
from tests.helpers.waiting import wait_for


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """A control group of the kernel with 64 MiB."""
    for group, limit in (
        (Path("/sys/fs/cgroup/memory/assay-test"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup/assay-test"), "memory.max"),
    ):
        try:
            group.mkdir()
            (group / limit).write_text(str(64 * 2**20))
        except OSError:
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("no control group can be made here")


def test_what_starts_trainings_is_started_again_after_its_death(odd: Odd, server: ForkServer) -> None:
    with TrainingProcess(server.start()).ending() as process:
        os.kill(psutil.Process(process.pid).ppid(), signal.SIGKILL)
    _, record = odd("pass")
    assert record.status == "finished", record.reason


def test_what_a_method_starts_in_a_session_of_its_own_ends_with_its_training(odd: Odd) -> None:
    store, record = odd("""
        heard, told = os.pipe()
        if os.fork() == 0:
            os.setsid()
            os.fork()
            os.write(told, b"%7d " % os.getpid())
            time.sleep(600)
        print("started", os.read(heard, 8).decode(), os.read(heard, 8).decode(), "and went on")
    """)
    pids = [int(pid) for pid in log_of(store, record).partition("started ")[2].split()[:2]]
    assert len(pids) == 2
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def test_the_compiler_that_a_training_had_to_load_the_next_one_finds_loaded(odd: Odd) -> None:
    odd("import torch._dynamo")
    store, record = odd("import sys\nprint('known', 'torch._dynamo' in sys.modules)")
    assert "known True" in log_of(store, record)


def test_a_training_that_the_kernel_ends_for_its_memory_is_told_so(odd: Odd, little_memory: Path) -> None:
    body = f"Path({str(little_memory / 'cgroup.procs')!r}).write_text(str(os.getpid()))\nbytearray(2**30)"
    _, record = odd(body)
    assert "by the kernel: the machine or container is out of memory" in (record.reason or "")


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("raise RuntimeError('no such luck')", "failed", "RuntimeError: no such luck"),
        ("raise FloatingPointError('loss is nan')", "diverged", "loss is nan"),
        ("sys.exit(3)", "failed", "the method ended its process (sys.exit, code 3)"),
        ("raise KeyboardInterrupt", "failed", "the method raised KeyboardInterrupt"),
        ("return None", "failed", "a method's `fit` returns a predictor, found None. Mend it"),
        ("return 'model'", "failed", "a method's `fit` returns a predictor, found a str without predict"),
        ("Answer.to = lambda self, device: None", "failed", "a predictor's `to` returns a predictor, found"),
        ("raise RuntimeError('x' * 50_000_000)", "failed", "RuntimeError: xxx"),
        ("raise type('Mute', (RuntimeError,), {'__str__': None})", "failed", "Mute: its text cannot be read"),
        ("raise RuntimeError('half a pair: \\udcff')", "failed", "RuntimeError: half a pair: \\udcff"),
    ],
)
def test_what_a_method_raises_is_its_own_end(odd: Odd, body: str, status: str, reason: str) -> None:
    _, record = odd(body)
    assert record.status == status
    assert (record.reason or "").startswith(reason)
    assert len(record.reason or "") < 5000


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("Answer.save = lambda self, folder: None", "no file"),
        ("Answer.save = lambda self, folder: (folder / 'net').mkdir()", "net/"),
    ],
)
def test_a_model_that_does_not_write_its_weights_fails_as_its_method_does(
    odd: Odd, body: str, found: str
) -> None:
    _, record = odd(body)
    assert (record.status, record.attempts) == ("failed", 1)
    assert f"and makes no folders there, found {found}. Mend the method's `save`." in (record.reason or "")


@pytest.mark.parametrize(
    ("body", "words", "way_out"),
    [
        ("os._exit(7)", "the method ended its process with code 7", "Mend the method: it returns a model"),
        ("ctypes.string_at(0)", "ended by signal 11 (Segmentation fault)", "Mend the fault of the method"),
        ("os.kill(os.getpid(), 15)", "ended by signal 15 (Terminated)", "Find out whether the method or"),
        ("os.kill(os.getpid(), 9)", "was killed (signal 9)", "Mend the cause (more memory, a smaller batch)"),
    ],
)
def test_a_process_that_dies_is_tried_again_and_its_death_is_named(
    odd: Odd, body: str, words: str, way_out: str
) -> None:
    store, record = odd(body)
    assert (record.status, record.attempts) == ("failed", 4)
    assert words in (record.reason or "")
    assert f". {way_out}" in (record.reason or "")
    assert ("memory" in (record.reason or "")) == ("signal 9" in words)
    assert len(list(store.attempts(record.id))) == 4


def test_a_training_that_is_out_of_a_gpus_memory_is_tried_once_more(odd: Odd) -> None:
    _, record = odd("raise RuntimeError('CUDA error: out of memory')")
    assert (record.status, record.attempts) == ("failed", 2)
    assert (record.reason or "").startswith("out of memory on the GPU; lower the batch or image size")


def test_a_training_that_says_that_it_is_out_of_memory_is_tried_once_more_and_its_line_named(
    odd: Odd,
) -> None:
    store, record = odd("raise MemoryError")
    assert (record.status, record.attempts) == ("failed", 2)
    assert record.reason == "out of memory, odd.py:22: MemoryError"
    first, _ = sorted(attempt.attempt for attempt in store.attempts(record.id))
    assert store.read_bytes(f"trials/{record.id}/{first}/log.txt").decode().rstrip().endswith(record.reason)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("open('/nowhere/weights.bin')", "FileNotFoundError: [Errno 2] No such file or directory"),
        ("raise OSError('half a picture')", "OSError: half a picture"),
        ("raise ConnectionRefusedError(111, 'Connection refused')", "ConnectionRefusedError: [Errno 111]"),
        ("def save(self, folder): raise OSError('no')\nAnswer.save = save", "OSError: no"),
        ("def predict(self, images): raise OSError('no')\nAnswer.predict = predict", "OSError: no"),
    ],
)
def test_files_and_networks_that_a_method_lacks_are_its_failure(odd: Odd, body: str, reason: str) -> None:
    _, record = odd(body)
    assert (record.status, record.attempts) == ("failed", 1)
    assert (record.reason or "").startswith(reason)
    assert "odd.py" in (record.error or "")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ENOTCONN])
def test_what_the_machine_lacks_is_no_failure_of_the_method_and_its_line_is_told(
    odd: Odd, number: int
) -> None:
    with pytest.raises(OSError, match=rf"^\[Errno {number}\] {os.strerror(number)}") as caught:
        odd(f"raise OSError({number}, 'said')")
    assert "odd.py" in "".join(caught.value.__notes__)


def test_a_training_starts_as_cublas_repeats_itself(odd: Odd) -> None:
    _, record = odd("assert os.environ['CUBLAS_WORKSPACE_CONFIG'] == ':4096:8'")
    assert record.status == "finished", record.reason


def test_a_method_sees_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@proxy")
    monkeypatch.setenv("DATABASE_PASSWORD", "postgresql")
    monkeypatch.setenv("PYTHONPATH", "/usr/lib/postgresql:/opt:/src:/x")
    kept = _environment()
    assert kept["PYTHONPATH"] == "/usr/lib/postgresql:/opt:/src:/x", "it only looks like one"
    assert kept.keys().isdisjoint({"MLFLOW_TRACKING_URI", "HTTPS_PROXY"})


def test_a_training_that_died_once_ends_well_the_next_time(odd: Odd, tmp_path: Path) -> None:
    notes = tmp_path / "notes"  # made now: what appears later beside a barred folder may not be opened
    notes.mkdir()
    _, record = odd(f"""
        once = Path({str(notes)!r}) / "once"
        if not once.exists():
            once.touch()
            os._exit(1)
    """)
    assert (record.status, record.attempts) == ("finished", 2)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(None, 1 / 60), "it gave no sign of life for 0.0166667 min (resources.silent_minutes)"),
        (Limits(1 / 3600, None), "it took more than 0.000277778 h (resources.hours_per_trial)"),
    ],
)
def test_a_training_that_hangs_is_tried_once_more_and_then_recorded(
    odd: Odd, limits: Limits, words: str
) -> None:
    _, record = odd("time.sleep(3600)", limits)
    assert (record.status, record.attempts) == ("failed", 2)
    assert record.reason == f"timed out twice: {words}"


def test_a_training_that_takes_too_long_is_ended_though_it_says_how_far_it_is(odd: Odd) -> None:
    _, record = odd(
        """
        for epoch in range(60):
            time.sleep(0.1)
            run.log(epoch, {}, 60)
        """,
        Limits(1 / 3600, None),
    )
    assert (record.reason or "").startswith("timed out twice: it took more than")


def test_a_training_that_closes_its_connection_and_goes_on_is_ended(
    odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.engine.process.process._END_SECONDS", 0.2)
    _, record = odd("os.closerange(3, 4096)\ntime.sleep(600)")
    assert "its training process closed the connection to its worker and went on" in (record.reason or "")


def test_a_training_that_dies_is_missed_though_what_it_started_holds_its_connection(
    odd: Odd, server: ForkServer
) -> None:
    body = "if os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\nos.kill(os.getpid(), signal.SIGKILL)"
    with TrainingProcess(server.start()).ending():  # beside another training what is left behind stays
        _, record = odd(body, Limits(None, 0.1))
    assert "training process was killed (signal 9)" in (record.reason or "")


def test_a_silent_training_is_none_that_takes_steps(odd: Odd) -> None:
    _, record = odd(
        """
        for step in range(30):
            time.sleep(0.1)
            run.step(step + 1, 30, 1)
        """,
        Limits(None, 1.5 / 60),
    )
    assert record.status == "finished"


def test_gigabytes_of_output_leave_their_first_and_last_lines(odd: Odd) -> None:
    store, record = odd("""
        print("first line")
        for _ in range(1000):
            sys.stdout.write("x" * 200_000 + "\\n")
        print("last line", flush=True)
    """)
    log = log_of(store, record)
    assert "first line" in log
    assert "last line" in log
    assert "bytes left out" in log
    assert len(log) < 100_000


def test_nothing_that_a_method_started_outlives_its_training(odd: Odd) -> None:
    store, record = odd("""
        import subprocess
        print("started", subprocess.Popen(["sleep", "4242"]).pid, flush=True)
    """)
    pid = int(log_of(store, record).rpartition("started ")[2].split()[0])
    with pytest.raises(ProcessLookupError):
        _until_gone(pid)


def test_a_killed_worker_takes_its_training_with_it(tmp_path: Path) -> None:
    code = (
        "import time\nfrom assay.engine.process.fork_server import ForkServer\n"
        "server = ForkServer()\nprocess = server.start()\n"
        "print(process.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        worker.send_signal(signal.SIGKILL)
    with pytest.raises(ProcessLookupError):
        _until_gone(pid)


@pytest.mark.parametrize("ready", [False, True], ids=["while it loads", "before it is asked"])
def test_what_starts_trainings_ends_without_a_word_when_its_worker_stops(ready: bool) -> None:
    ours, theirs = socket.socketpair()
    words = [sys.executable, "-m", "assay.engine.process.fork_server", str(theirs.fileno())]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, pass_fds=[theirs.fileno()]) as server:
        theirs.close()
        if ready:
            select.select([ours], [], [])  # what it says lies unread
        ours.close()
        assert server.stderr is not None
        assert server.stderr.read() == ""
    assert server.returncode == 0


def test_who_waits_for_a_training_process_is_told_when_all_are_stopped() -> None:
    with ForkServer() as server, ThreadPoolExecutor() as threads:
        os.kill(server._server.pid, signal.SIGSTOP)
        waiting = threads.submit(server.start)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        server.stop()
        try:
            assert isinstance(waiting.exception(5), DiedError)
        finally:
            os.kill(server._server.pid, signal.SIGCONT)


def _until_gone(pid: int) -> None:
    """Wait for a process to end: raises ProcessLookupError when it has."""
    for _ in range(100):
        os.kill(pid, 0)
        time.sleep(0.1)
