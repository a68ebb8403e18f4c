"""The command line: `assay …`.

One file per group of commands. A command turns its options into typed objects, calls one function of the
platform and prints what comes back; nothing is decided here. Everything heavy (torch, pyarrow, ray, mlflow)
is imported inside the commands, so that `assay --help` answers at once.
"""

import sys

from assay.cli import streams
from assay.faults import Interrupted

__all__ = ["main"]


def main() -> None:
    """Entry point of the console script: loads the commands, runs one and exits with its code."""
    try:
        streams.prepare()
        from assay.cli.app import main as run_command  # half a second, in which Ctrl-C ends it, too

        run_command()
    except KeyboardInterrupt:
        sys.stderr.write(f"{Interrupted().line}\n")
        sys.exit(Interrupted.exit_code)
