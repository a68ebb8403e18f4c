"""The toy study run by the program itself, on any storage."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from assay.storage import Record, Store
from assay.study import Plan
from tests.engine.toy_study import PACE, TOY, hold, release
from tests.in_process import assay_here

__all__ = ["ToyProgram"]


class ToyProgram:
    """A study file of two cells × one seed in one pack, and ``assay`` called on it."""

    def __init__(
        self, folder: Path, cache: Path, storage: str, environment: Mapping[str, str], epochs: int = 6
    ) -> None:
        """Its epochs take half a second each, until ``release``."""
        self.file, self.storage, self.folder = folder / "toy.yaml", storage, folder
        settings = {
            "name": "toy",
            "epochs": epochs,
            "seconds": 0.5,
            "workers": 1,
            "pack": "2",
            "factor": PACE,
        }
        text = hold(TOY, self.file).format(**settings, seeds="[0]")
        self.file.write_text(text.replace("models: none", "models: all"))
        kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        self.environment = {**kept, **environment, "ASSAY_CACHE": str(cache), "COLUMNS": "300"}
        self.environment.pop("MLFLOW_TRACKING_URI", None)

    def release(self) -> None:
        """Let epochs take no time from now on."""
        release(self.file)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "assay", *arguments, "--storage", self.storage]

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call ``assay`` in this process."""
        return assay_here(
            *arguments, "--storage", self.storage, environment=self.environment, folder=self.folder
        )

    def assay(self, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run the program to its end."""
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
            cwd=self.folder,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run the program beside the test, in a session of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
            cwd=self.folder,
            start_new_session=True,
        )

    def plan(self, store: Store) -> Plan:
        return Plan.from_table(store.read_table("studies/toy/plan.parquet"))

    def records(self, store: Store) -> dict[str, Record]:
        return store.records(trial.id for trial in self.plan(store).trials)
