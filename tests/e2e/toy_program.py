"""The toy study run by the program itself, on any storage."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from assay.storage import Record, Store
from assay.study import Plan
from assay.study.planning.plan_table import plan_of_table
from tests.e2e.small_study import Program
from tests.engine.toy_study import PACE, TOY, hold, release

__all__ = ["ToyProgram"]


class ToyProgram(Program):
    """A study file of two cells × one seed in one batch, and ``assay`` called on it."""

    storage: str

    def __init__(
        self, folder: Path, cache: Path, storage: str, environment: Mapping[str, str], epochs: int = 6
    ) -> None:
        """Its epochs take half a second each, until ``release``."""
        super().__init__(folder / "toy.yaml", storage, cache, **environment, COLUMNS="300")
        text = hold(TOY, self.file).format(
            name="toy", epochs=epochs, seconds=0.5, workers=1, pack="2", factor=PACE, seeds="[0]"
        )
        self.file.write_text(text.replace("models: none", "models: all"))

    def release(self) -> None:
        """Let epochs take no time from now on."""
        release(self.file)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run the program beside the test, in a session of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
            cwd=self.file.parent,
            start_new_session=True,
        )

    def plan(self, store: Store) -> Plan:
        return plan_of_table(store.read_table("studies/toy/plan.parquet"))

    def records(self, store: Store) -> dict[str, Record]:
        return store.records(trial.id for trial in self.plan(store).trials)
