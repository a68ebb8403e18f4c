"""The command line in this process: what a program of its own says, without two seconds of imports."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

__all__ = ["assay_here"]


def assay_here(
    *words: str, environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Call ``assay`` with ``words`` in a ``folder`` (default: this one) and with no other ``environment``."""
    from assay.cli import main

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in os.environ.keys() - environment.keys():
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.chdir(folder or Path.cwd())
        patch.setattr(sys, "argv", ["assay", *words])
        # What ends a command some seconds after a signal, a thread with two sockets, would end the tests.
        patch.setattr("assay.cli.app._end_after_signals", lambda: None)
        with pytest.raises(SystemExit) as end:
            main()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    code = end.value.code
    return subprocess.CompletedProcess(
        words, code if isinstance(code, int) else 0, out.getvalue(), err.getvalue()
    )
