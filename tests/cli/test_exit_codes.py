"""Exit codes of `assay run`, by how its trials ended, and of a command that hears no signal."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.cli.streams import output_to
from assay.engine import Outcome
from assay.faults import Fault, exit_code_of
from assay.storage import Store
from tests.conftest import ROOT

# A main thread that waits twice for one lock in C hears no signal.
_HANGING = """
import ctypes, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup, under which tests may run, ignores it
from assay.cli import app as program
program._LAST_SECONDS = 0.5

@program.app.command()
def hang() -> None:
    lock, wait = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock
    print("hangs", flush=True)
    wait(lock), wait(lock)

sys.argv = ["assay", "hang"]
program.main()
"""


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ({"finished": 18}, 0),
        ({"finished": 17, "diverged": 1}, 0),
        ({"finished": 17, "failed": 1}, 1),
        ({"finished": 17, "missing": 1}, 1),
        ({"finished": 12, "postponed": 6}, 0),
        ({"finished": 5, "missing": 13, "interrupted": True}, 130),
        ({"finished": 5, "failed": 1, "missing": 12, "interrupted": True}, 130),
        ({"finished": 5, "failed": 1, "missing": 12, "lost": "raylet of Ray ended"}, 3),
        ({"finished": 5, "missing": 13, "lost": "raylet of Ray ended", "interrupted": True}, 130),
    ],
)
def test_exit_codes(counts: dict[str, Any], code: int) -> None:
    nothing = dict.fromkeys(("finished", "failed", "diverged", "pruned", "missing", "postponed"), 0)
    outcome = Outcome(**{**nothing, "interrupted": False, **counts}, trained_now=0, seconds=1.0)
    assert exit_code_of(outcome.fault) == code


def test_the_page_of_commands_lists_every_exit_code_with_its_meaning() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    faults = sorted(Fault.__subclasses__(), key=lambda fault: fault.exit_code)
    rows = "".join(f"| {fault.exit_code} | {fault.meaning} |\n" for fault in faults)
    assert f"| 0 | all is well, or the study's `budget` has ended |\n{rows}\n" in page


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_waits_where_no_python_runs_ends_after_a_signal(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HANGING], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "hangs\n"
        command.send_signal(number)
        try:
            output, _ = command.communicate(timeout=20)
        finally:
            command.kill()
    assert (command.returncode, output) == (130, "interrupted\n")


@pytest.mark.parametrize("arguments", [["settings"], ["settings", "--json"]])
def test_an_output_that_cannot_be_written_is_named(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "assay", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "error: the output cannot be written: No space left on device." in done.stderr


def test_ctrl_c_while_the_commands_load_is_an_interrupt() -> None:
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from assay.cli import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    ("option", "closed"),
    [
        ("--once", "2>&-"),
        ("--once", "<&-"),
        ("--once", "<&- >&- 2>&-"),
        ("--json", ">&-"),
        ("--json", "<&- 2>&-"),
    ],
)
def test_a_stream_that_is_missing_is_one_that_leads_nowhere(option: str, closed: str, store: Store) -> None:
    line = shlex.join([sys.executable, "-m", "assay", "status", "small", option, "--storage", store.uri])
    done = subprocess.run(f"{line} {closed}", shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("small" in done.stdout) is (" >" not in f" {closed}")


@pytest.mark.parametrize("arguments", [["plan", "{study}", "--no-data"], ["settings", "--json"]])
def test_a_command_goes_on_where_its_reader_leaves(arguments: list[str], study_file: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "assay", *(word.format(study=study_file) for word in arguments)]
    with open(writer, "wb") as left:
        done = subprocess.run(command, stdout=left, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0
    assert "rror" not in done.stderr


def test_a_command_goes_on_where_its_terminal_is_closed() -> None:
    terminal, descriptor = pty.openpty()
    output = output_to(descriptor)
    os.close(terminal)
    try:
        for line in ("one", "two"):
            print(line, file=output, flush=True)
        assert os.path.samestat(os.fstat(descriptor), os.stat(os.devnull))
    finally:
        os.close(descriptor)
