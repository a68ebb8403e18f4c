"""The quickstart made small: the same cells of SegDecNet, on few tiny images, for seconds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from assay.storage import Record, Store
from assay.study import Plan
from assay.study.planning.plan_table import plan_of_table
from tests.helpers.in_process import assay_here

__all__ = ["Program", "SmallStudy", "small_text"]

ROOT = Path(__file__).resolve().parents[2]


def small_text(seeds: str = "0, 1", epochs: int = 2) -> str:
    """The quickstart's text with fewer, smaller images, fewer epochs and other seeds."""
    text = (ROOT / "studies" / "quickstart.yaml").read_text()
    smaller = {
        r"study: quickstart": "study: small",
        r"images: \d+, positives: \d+, size: \[128, 128\]": "images: 64, positives: 28, items: 32, "
        "size: [128, 64]",
        r"image_size: \[128, 128\]": "image_size: [128, 64]",
        r"channel_scale: [\d.]+": "channel_scale: 0.0625",
        r"epochs: \d+": f"epochs: {epochs}",
        r"seeds: \[[\d, ]+\]": f"seeds: [{seeds}]",
        r"probes: \d+": "probes: 2",
    }
    for pattern, replacement in smaller.items():
        text, count = re.subn(pattern, replacement, text)
        assert count == 1, f"the quickstart has no {pattern!r} any more"
    return text


class Program:
    """A study file, its storage, and the program run on them."""

    def __init__(self, file: Path, storage: Path | str, cache: Path, **given: str) -> None:
        self.file, self.storage, self._given = file, storage, {**given, "ASSAY_CACHE": str(cache)}

    def command(self, *arguments: str) -> list[str]:
        """``assay …`` on this study's storage."""
        return [sys.executable, "-m", "assay", *arguments, "--storage", str(self.storage)]

    @property
    def environment(self) -> dict[str, str]:
        elsewhere = ("RAY_ADDRESS", "MLFLOW_TRACKING_URI")
        kept = {name: value for name, value in os.environ.items() if name not in elsewhere}
        return {**kept, **self._given}

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call ``assay`` in this process."""
        words = (*arguments, "--storage", str(self.storage))
        return assay_here(*words, environment=self.environment, folder=self.file.parent)

    def assay(self, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run the program to its end."""
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
            cwd=self.file.parent,
            check=False,
        )


class SmallStudy(Program):
    """The small study in a folder of its own."""

    storage: Path

    def __init__(self, folder: Path, cache: Path, text: str) -> None:
        super().__init__(folder / "small.yaml", folder / "storage", cache)
        self.file.write_text(text)
        self.store = Store(self.storage)

    @property
    def plan(self) -> Plan:
        return plan_of_table(self.store.read_table("studies/small/plan.parquet"))

    def records(self) -> dict[str, Record]:
        return self.store.records(trial.id for trial in self.plan.trials)
