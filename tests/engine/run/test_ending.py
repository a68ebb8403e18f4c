"""A run that cannot end by itself is ended, while its main thread waits where no Python runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import pytest

from assay.engine.interrupts import Ending

# A thread that waits twice for one lock in C hears no signal.
_HANGING = """
import ctypes, os, signal, sys, threading
from assay.engine import interrupts
interrupts._ORDERLY_SECONDS, interrupts._LAST_SECONDS = 0.5, 1.5
for number in interrupts.STOPS:
    signal.signal(number, lambda *_: None)
lock = ctypes.create_string_buffer(64)
wait = ctypes.CDLL(None).pthread_mutex_lock
with interrupts.Ending(ends_process=True) as watch, watch.releasing(lambda: print("released", flush=True)):
    {lose}
    with watch.work():
        print("hangs", flush=True)
        wait(lock), wait(lock)
"""
_LOSE = "threading.Timer(0.2, watch.lose, ['gcs_server of Ray ended (killed by SIGKILL)']).start()"


@pytest.fixture
def hanging() -> Callable[[str], subprocess.Popen[str]]:
    """Start a program that hangs, with a line of its own before it does."""

    def start(lose: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", _HANGING.format(lose=lose)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"
        return process

    return start


def test_a_signal_ends_a_program_that_hangs_after_its_lease_was_released(
    hanging: Callable[[str], subprocess.Popen[str]],
) -> None:
    process = hanging("pass")
    process.send_signal(signal.SIGHUP)
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (130, "released\ninterrupted\n")


def test_a_loss_ends_a_program_that_hangs_with_the_name_of_what_died_and_a_code_of_its_own(
    hanging: Callable[[str], subprocess.Popen[str]],
) -> None:
    process = hanging(_LOSE)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 3
    assert output.startswith(
        "released\nerror: gcs_server of Ray ended (killed by SIGKILL), and with it the run."
    )


def test_work_is_left_in_the_midst_where_python_runs() -> None:
    with Ending() as watch:
        watch.lose("raylet of Ray ended (killed by SIGKILL)")
        with pytest.raises(KeyboardInterrupt), watch.work():
            time.sleep(30)
        watch.settle()


def test_the_handler_that_another_had_for_its_signal_is_back_afterwards() -> None:
    def of_another(number: int, frame: FrameType | None) -> None: ...

    before = signal.signal(signal.SIGUSR2, of_another)
    try:
        with Ending():
            assert signal.getsignal(signal.SIGUSR2) is not of_another
        assert signal.getsignal(signal.SIGUSR2) is of_another
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_handler_that_python_did_not_set_is_not_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int] = []
    monkeypatch.setattr("assay.engine.interrupts.signal.signal", lambda number, _: numbers.append(number))
    with Ending():
        pass
    assert numbers == [signal.SIGUSR2]


def test_a_process_that_is_not_the_runs_own_is_not_ended() -> None:
    script = """
import os, signal, time
from assay.engine import interrupts
interrupts._ORDERLY_SECONDS, interrupts._LAST_SECONDS = 0.1, 0.3
signal.signal(signal.SIGINT, lambda *_: None)
with interrupts.Ending() as watch:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1.5)
print("goes on", watch.interrupted)
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stdout) == (0, "goes on True\n"), run.stderr


def test_news_that_come_after_the_work_broke_are_waited_for() -> None:
    with Ending() as ending:
        threading.Timer(0.2, ending.lose, ["raylet of Ray ended"]).start()
        assert ending.came_within(5.0)
        assert ending.lost == "raylet of Ray ended"


def test_work_that_broke_by_itself_has_no_news() -> None:
    with Ending() as ending:
        assert not ending.came_within(0.3)
