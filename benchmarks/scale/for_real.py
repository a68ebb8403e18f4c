"""Trials that do nothing, for real: what they cost each process, and whether display and MLflow keep up."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.shared import ROOT, environment_of

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)  # of the trials, at which a row is taken
_POLL_SECONDS = 0.5
_NAMES = {
    "BatchDriver": "driver",
    "process.fork_server": "training",
    "raylet": "Ray",
    "gcs": "Ray",
}

STUDY = """
study: scale
question: What does a trial that does nothing cost?
trainable: toy
data: {{reader: synthetic, options: {{images: 48, positives: 24, items: 24, size: [32, 32]}}}}
supervision: weak
config: {{epochs: 1}}
factors: {{slope: {{a: {{config: {{slope: 8.0}}}}, b: {{config: {{slope: 4.0}}}}}}}}
design: {{full: all}}
repeats: {{seeds: [{seeds}]}}
metrics: {{primary: image_ap}}
resources: {{workers: 1, cpus: 1}}
keep: {{models: none, probes: 0}}
"""


class Row(NamedTuple):
    """One moment of the run."""

    ended: int
    seconds: float
    cpu: dict[str, float]  # s, by kind of process, of those that have ended too
    mb: dict[str, float]  # the largest of its kind
    shown: int  # trials that the display has told of
    synced: int  # that MLflow has


def train_for_real(trials: int, storage: Path, *, local: bool) -> str:
    """Train a study of ``trials`` in an empty ``storage``; returns a Markdown table.

    Raises:
        subprocess.CalledProcessError: If the run did not end well.
    """
    storage.mkdir(parents=True)
    study = storage / "scale.yaml"
    study.write_text(STUDY.format(seeds=", ".join(map(str, range(trials // 2)))), encoding="utf-8")
    command = [sys.executable, "-m", "assay", "run", str(study), "--storage", str(storage), "--json"]
    environment = environment_of(ROOT, "tests/plugin")
    shown = [0]
    with subprocess.Popen(
        [*command, *(["--local"] if local else [])], stdout=subprocess.PIPE, text=True, env=environment
    ) as run:
        reader = threading.Thread(target=_count_lines, args=(run, shown), daemon=True)
        reader.start()
        rows = list(_rows(run, trials // 2 * 2, storage, shown))
        reader.join()
    if run.returncode:
        raise subprocess.CalledProcessError(run.returncode, command)
    return _table(rows)


def _count_lines(run: subprocess.Popen[str], shown: list[int]) -> None:
    for line in run.stdout or ():
        shown[0] += json.loads(line)["event"] == "trial"


def _rows(run: subprocess.Popen[str], trials: int, storage: Path, shown: list[int]) -> Iterator[Row]:
    began, root = time.monotonic(), psutil.Process(run.pid)
    cpu: dict[tuple[str, int], float] = {}
    due = [max(1, round(share * trials)) for share in SHARES]
    mb: dict[str, float] = {}
    over = False
    while not over:  # one look more than it runs: what MLflow was told at its end counts too
        over, mb = run.poll() is not None, _poll(root, cpu) or mb
        ended = sum(1 for _ in storage.glob("trials/*/record.json"))
        if over or (due and ended >= due[0]):
            del due[:1]
            kinds: defaultdict[str, float] = defaultdict(float)
            for (kind, _), seconds in cpu.items():
                kinds[kind] += seconds
            yield Row(ended, time.monotonic() - began, dict(kinds), mb, shown[0], _synced(storage))
        time.sleep(_POLL_SECONDS)


def _poll(root: psutil.Process, cpu: dict[tuple[str, int], float]) -> dict[str, float]:
    """Note CPU seconds of each process; returns the memory of the largest of each kind, MB."""
    mb: dict[str, float] = {}
    try:
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return mb
    for process in processes:
        try:
            name, times = _kind(process, root), process.cpu_times()
            mb[name] = max(mb.get(name, 0.0), process.memory_info().rss / 1e6)
        except psutil.NoSuchProcess:
            continue
        cpu[name, process.pid] = times.user + times.system
    return mb


def _kind(process: psutil.Process, root: psutil.Process) -> str:
    if process.pid == root.pid:
        return "run"
    line = " ".join(process.cmdline())
    return next((kind for name, kind in _NAMES.items() if name in line), "others")


def _synced(storage: Path) -> int:
    """Trials that MLflow has, by the state that the MLflow sync keeps."""
    notes = (json.loads(path.read_text()) for path in storage.glob("studies/scale/mlflow-*.json"))
    return sum(len(note["records"]) for note in notes)


def _table(rows: list[Row]) -> str:
    kinds = sorted({kind for row in rows for kind in row.mb}, key=lambda kind: -rows[-1].mb.get(kind, 0.0))
    columns = [*(f"{kind}, ms" for kind in kinds), *(f"{kind}, MB" for kind in kinds)]
    lines = [
        "CPU a trial since the row before (of the end in all), memory of the largest process of its kind.\n",
        f"| trials | s | {' | '.join(columns)} | shown | in MLflow |",
        f"|---:|---:|{'---:|' * (len(columns) + 2)}",
    ]
    before = Row(0, 0.0, {}, {}, 0, 0)
    for row in rows:
        count = row.ended - before.ended
        spent = [row.cpu.get(kind, 0.0) - before.cpu.get(kind, 0.0) for kind in kinds]
        # After the last trial there is none to divide by: what the end itself takes.
        times = (f"{1000 * seconds / count:.0f}" if count else f"{seconds:.0f} s" for seconds in spent)
        cells = [*times, *(f"{row.mb.get(kind, 0.0):.0f}" for kind in kinds)]
        ends = f"{row.shown:,} | {row.synced:,}"
        lines.append(f"| {row.ended:,} | {row.seconds:.0f} | {' | '.join(cells)} | {ends} |")
        before = row
    return "\n".join(lines) + "\n"
