"""Programs that run: how they end, and what is left of them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from trainables.program import process
from trainables.program.process import run_program, traceback_line


def run(code: str, folder: Path, poll: Callable[[int], None] = lambda printed: None) -> process.Ended:
    return run_program([sys.executable, "-c", code], folder, dict(os.environ), poll)


def test_the_exit_code_and_the_end_of_stderr_come_back(tmp_path: Path) -> None:
    ended = run("import sys; print('why', file=sys.stderr); sys.exit(4)", tmp_path)
    assert (ended.code, ended.errors) == (4, "why\n")


def test_an_error_meanwhile_ends_it_in_order(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_): open('ended', 'w').close(); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('here', flush=True); time.sleep(60)"
    )

    def poll(printed: int) -> None:
        if printed:
            raise KeyError("enough")

    with pytest.raises(KeyError):
        run(code, tmp_path, poll)
    assert (tmp_path / "ended").exists()


def test_who_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.5)
    code = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(os.getpid(), file=open('pid', 'w')); print('here', flush=True); time.sleep(60)"
    )

    def poll(printed: int) -> None:
        if printed:
            raise KeyError("enough")

    with pytest.raises(KeyError):
        run(code, tmp_path, poll)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_sigterm_to_this_process_ends_the_program_and_is_heard(tmp_path: Path) -> None:
    def poll(printed: int) -> None:
        if printed:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    start = time.monotonic()
    with pytest.raises(BaseException, match="15"):
        run("import time; print('here', flush=True); time.sleep(60)", tmp_path, poll)
    assert time.monotonic() - start < 30
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_flood_on_both_pipes_fills_no_memory(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ended = run(
        "import sys\nfor _ in range(200):\n print('o' * 99_999); print('e' * 99_999, file=sys.stderr)",
        tmp_path,
    )
    printed = capfd.readouterr().out
    assert ended.code == 0
    assert len(printed) < 300_000
    assert len(ended.errors) < 300_000


@pytest.mark.parametrize("own_session", [True, False])
def test_a_daemon_is_gone_when_its_program_has_ended(tmp_path: Path, own_session: bool) -> None:
    code = (
        "import os, subprocess, sys\n"
        f"left = subprocess.Popen(['sleep', '60'], start_new_session={own_session})\n"
        "print(left.pid, file=open('pid', 'w'))"
    )
    assert run(code, tmp_path).code == 0
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("warning\nboom\n", "boom"),
        (
            'Traceback\n  File "FOLDER/a.py", line 3, in <module>\n  File "/usr/x.py", line 9\nKeyError: 1\n',
            "a.py:3: KeyError: 1",
        ),
        ('  File "nets/b.py", line 7\nE: 1\n', "nets/b.py:7: E: 1"),
    ],
)
def test_the_line_of_a_traceback_is_the_last_one_in_its_own_files(
    tmp_path: Path, text: str, line: str
) -> None:
    assert traceback_line(text.replace("FOLDER", str(tmp_path)), tmp_path) == line
