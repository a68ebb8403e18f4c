"""Trains the same small studies in every way on the Ray of this interpreter, and says what they ended with.

``python -m tests.engine.cluster.releases FOLDER`` runs a study of two cells and three seeds (one worker, and
two) and a search with a pruner: without Ray, on a Ray of this machine, on a cluster of two nodes, on one that
loses a node midway, and as a submitted job. It prints a line each: seconds, how many trials have a record,
and sha256 over their results (weights' hashes among them), which must be equal for all ways and releases.
Where a pruner decides by who was first, only trials that every way finished can be compared: ``--compare
FILES`` does so for the files that ``FOLDER`` then holds. Run it with the interpreters of several releases of
Ray.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ray

from assay.storage import Store
from assay.storage.plans import stored_plan
from assay.storage.search_points import with_points
from tests.engine.cluster.ray_nodes import RayNodes
from tests.helpers.results import result_bytes

_STUDY = """
study: {name}
question: Do releases of Ray agree?
trainable: toy
data: {{reader: synthetic, options: {{images: 48, positives: 24, items: 24, size: [32, 32]}}}}
supervision: weak
config: {{epochs: 4, seconds: {seconds}}}
factors: {{pace: {{slow: {{config: {{lr: 0.05}}}}, fast: {{config: {{lr: 0.2}}}}}}}}
design: {{full: all}}
repeats: {{seeds: [0, 1, 2]}}
metrics: {{primary: image_ap}}
resources: {{workers: {workers}, cpus: 1}}
keep: {{models: none, probes: 2}}
"""
_SEARCH = """
study: searched
trainable: toy
data: {reader: synthetic, options: {images: 48, positives: 24, items: 24, size: [32, 32]}}
supervision: weak
config: {epochs: 2, seconds: 0, x: 0.9}
search:
  {sampler: random, points: 6, batch: 2, seed: 0, objective: {max: validation.image_ap},
   pruner: {kind: median, min: 1}}
space:
  config.x: {float: [0.0, 1.0]}
start: [preset]
repeats: {seeds: [0, 1]}
metrics: {primary: image_ap}
resources: {workers: 1, cpus: 1}
keep: {models: none, probes: 0}
"""
_STUDIES = {
    "one": _STUDY.format(name="one", workers=1, seconds=0.5),
    "two": _STUDY.format(name="two", workers=2, seconds=0.5),
    "searched": _SEARCH,
}
_PATIENCE = 300.0


def main() -> int:
    """Run what was asked for; returns 1 if ways or releases disagree."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--compare", action="store_true", help="what lies in FOLDER, and run nothing")
    parser.add_argument("--studies", nargs="+", default=list(_STUDIES))
    arguments = parser.parse_args()
    if arguments.compare:
        return _compare(arguments.folder)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.studies:
        for way, run in _WAYS.items():
            if way == "local" and name == "two":  # several workers need Ray
                continue
            _try(arguments.folder, name, way, run)
    return 0


def _try(folder: Path, name: str, way: str, run: Callable[[Path, Path], tuple[int, str]]) -> None:
    """Run one study in one way, print its line, and keep what its trials ended with."""
    room = folder / f"{ray.__version__}-{name}-{way}"
    room.mkdir()
    file = room / f"{name}.yaml"
    file.write_text(_STUDIES[name])
    begun = time.monotonic()
    code, output = run(file, room / "storage")
    seconds = time.monotonic() - begun
    store = Store(room / "storage")
    trials = with_points(stored_plan(store, name), store).trials
    records = store.records(trial.id for trial in trials)
    results = {id_: hashlib.sha256(result_bytes(record)).hexdigest() for id_, record in records.items()}
    (folder / f"{room.name}.json").write_text(json.dumps(results))
    total = hashlib.sha256(json.dumps(results, sort_keys=True).encode()).hexdigest()[:16]
    _say(f"| {ray.__version__} | {name} | {way} | {seconds:.0f} s | {len(records)} | {total} |")
    if code:
        _say(output)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _assay(*arguments: object, environment: dict[str, str] | None = None) -> tuple[int, str]:
    command = [sys.executable, "-m", "assay", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=_PATIENCE, check=False
    )
    return done.returncode, done.stdout + done.stderr


def _without_ray(file: Path, storage: Path) -> tuple[int, str]:
    return _assay("run", file, "--storage", storage, "--local", "--processes", 1)


def _on_this_machine(file: Path, storage: Path) -> tuple[int, str]:
    return _assay("run", file, "--storage", storage, "--cpus", 2)


def _on_a_cluster(file: Path, storage: Path) -> tuple[int, str]:
    nodes = RayNodes(cpus=1)
    try:
        nodes.add().wait()
        environment = {**nodes.environment, "RAY_ADDRESS": nodes.address}
        return _assay("run", file, "--storage", storage, environment=environment)
    finally:
        nodes.close()


def _losing_a_node(file: Path, storage: Path) -> tuple[int, str]:
    """A third node takes the place of the second, which is killed at its first sign of work."""
    nodes = RayNodes(cpus=1)
    try:
        second = nodes.add().wait()
        command = [sys.executable, "-m", "assay", "run", str(file), "--storage", str(storage)]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**nodes.environment, "RAY_ADDRESS": nodes.address},
        ) as process:
            until = time.monotonic() + _PATIENCE
            while not any(storage.rglob("progress.json")) and time.monotonic() < until:
                time.sleep(0.2)
            time.sleep(1)
            for pid in second.pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            nodes.add().wait()
            output, _ = process.communicate(timeout=_PATIENCE)
        return process.returncode, output
    finally:
        nodes.close()


def _as_a_job(file: Path, storage: Path) -> tuple[int, str]:
    nodes = RayNodes(cpus=2, dashboard=True)
    try:
        options = ("--storage", storage, "--address", nodes.dashboard)
        return _assay("submit", file, *options, environment=nodes.environment)
    finally:
        nodes.close()


_WAYS = {
    "local": _without_ray,
    "ray": _on_this_machine,
    "cluster": _on_a_cluster,
    "node-killed": _losing_a_node,
    "submit": _as_a_job,
}


def _compare(folder: Path) -> int:
    """Compare what lies in a folder: each trial has one result, whatever the way and the release."""
    files = sorted(folder.glob("*.json"))
    seen: dict[str, dict[str, list[str]]] = {}
    for file in files:
        for trial, result in json.loads(file.read_text()).items():
            seen.setdefault(trial, {}).setdefault(result, []).append(file.stem)
    different = {trial: results for trial, results in seen.items() if len(results) > 1}
    _say(f"{len(files)} runs, {len(seen)} trials, {len(different)} with more than one result")
    for trial, results in different.items():
        _say(f"{trial}: {results}")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
