"""The command line: `assay …`.

One file per group of commands. A command turns its options into typed objects, calls one function of the
platform and prints what comes back; nothing is decided here. Everything heavy (torch, pyarrow, ray, mlflow)
is imported inside the commands, so that `assay --help` answers at once.
"""

from assay.cli.app import main

__all__ = ["main"]
