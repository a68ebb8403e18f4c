"""A run of the tests that is interrupted or killed leaves no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.helpers.waiting import wait_for

# As a test starts nodes and daemons: in sessions of their own, whose parents may end before them.
_STARTS = """
import subprocess, sys, time
from tests.helpers.leftovers import end_with_this_process
end_with_this_process()
started = [subprocess.Popen(["sleep", "600"], start_new_session=True)]
script = ["sh", "-c", "setsid sleep 600 & echo $!; exit"]
started.append(subprocess.Popen(script, stdout=subprocess.PIPE, text=True))
orphan = started[1].stdout.readline().strip()
print(started[0].pid, orphan, flush=True)
{end}
"""


@pytest.mark.parametrize(
    ("end", "number"),
    [("time.sleep(600)", signal.SIGKILL), ("time.sleep(600)", signal.SIGINT), ("sys.exit()", None)],
    ids=["killed", "interrupted", "ended"],
)
def test_what_a_run_started_is_gone_after_it(end: str, number: signal.Signals | None) -> None:
    bystander = subprocess.Popen(["sleep", "600"])
    run = subprocess.Popen(
        [sys.executable, "-c", _STARTS.format(end=end)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert run.stdout is not None
    pids = [int(pid) for pid in run.stdout.readline().split()]
    assert len(pids) == 2
    if number is not None:
        os.killpg(run.pid, number)
    run.communicate(timeout=60)
    wait_for(lambda: not any(map(_runs, pids)), said=lambda: f"left: {[pid for pid in pids if _runs(pid)]}")
    assert bystander.poll() is None, "what another run started is left alone"
    bystander.kill()
    bystander.wait()


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_the_tests_themselves_are_such_a_run() -> None:
    shown = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    assert "ASSAY_TESTS_RUN=" in shown
    commands = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    assert any(os.environ["ASSAY_TESTS_RUN"] in command for command in commands)
