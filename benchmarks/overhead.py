"""Seconds that a study adds to each 10-second trial, beside bare Ray Tune + Ray Train.

``python -m benchmarks.overhead [--pairs 5] [--quick]``: every round runs, one after the other on the same
Ray, the bare loop, one trial in a bare function driver with a TorchTrainer, and through assay, with
evaluation, records and MLflow, batches of 1, 4 and 8 and eight batches of 1. Overhead is the time above the
bare loop, per trial. Prints a Markdown table with median and range.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.shared import ROOT, environment_of, parser_of, timed

EPOCHS = 20

STUDY = """
study: overhead{trials}
question: What does a study cost beside its training?
trainable: toy
data: {{reader: synthetic, options: {{images: 48, positives: 24, items: 24, size: [32, 32]}}}}
supervision: weak
config: {{epochs: {epochs}, seconds: {seconds}}}
factors: {{slope: {{a: {{config: {{slope: 8.0}}}}}}}}
design: {{full: all}}
repeats: {{seeds: [{seeds}]}}
metrics: {{primary: image_ap}}
resources: {{workers: 1, cpus: 1, pack: {pack}}}
keep: {{models: all, probes: 4}}
"""


def bare_loop(config: dict[str, float]) -> None:
    """The trial's work and nothing else."""
    for _ in range(int(config["epochs"])):
        time.sleep(config["seconds"])


def bare_tune_and_train(config: dict[str, float], scratch: Path) -> None:
    """One trial the plain way: a Tune function that fits a TorchTrainer with one worker."""
    from ray import train, tune
    from ray.train.torch import TorchTrainer

    def driver(_: dict[str, Any]) -> None:
        TorchTrainer(
            bare_loop,
            train_loop_config=config,
            scaling_config=train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
            run_config=train.RunConfig(name=f"bare-{time.time_ns()}", storage_path=str(scratch)),
        ).fit()

    tune.Tuner(
        tune.with_resources(driver, {"CPU": 0, "memory": 2**20}),
        tune_config=tune.TuneConfig(num_samples=1),
        run_config=tune.RunConfig(name=f"tune-{time.time_ns()}", storage_path=str(scratch), verbose=0),
    ).fit()


class Way(NamedTuple):
    """Way to train a study."""

    trials: int
    pack: int

    @property
    def name(self) -> str:
        batches = self.trials // self.pack
        return f"assay, {f'{batches} batches' if batches > 1 else 'batch'} of {self.pack}"


WAYS = [Way(1, 1), Way(4, 4), Way(8, 8), Way(8, 1)]


def study_of(way: Way, config: dict[str, float], storage: Path, cache: Path) -> None:
    """A study on a fresh storage, synced into MLflow."""
    from assay.api.running import train
    from assay.cli.mlflow_sync import SyncThread
    from assay.engine import EngineOptions
    from assay.storage import Store
    from assay.study import parse_study, plan_study
    from trainables.data import open_manifest

    settings = {"epochs": int(config["epochs"]), "seconds": config["seconds"], "pack": way.pack}
    text = STUDY.format(trials=way.trials, seeds=", ".join(map(str, range(way.trials))), **settings)
    plan = plan_study(parse_study(text, "overhead"), lambda spec: open_manifest(spec, None, cache), "cpu")
    store = Store(storage)
    mlflow_sync = SyncThread(plan, store, None, lambda message: None)
    with mlflow_sync:
        options = EngineOptions(data_root=None, cache=cache)
        outcome, _ = train(store, plan, options, begun=lambda known, warnings: None, say=print)
    assert outcome.finished == way.trials, outcome


def main() -> int:
    """Run the rounds and print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--quick", action="store_true", help="2-second trials, one round: a smoke test")
    arguments = parser.parse_args()
    config = {"epochs": EPOCHS, "seconds": 0.1 if arguments.quick else 0.5}
    rounds = 1 if arguments.quick else arguments.pairs
    sys.path.insert(0, str(ROOT / "tests" / "plugin"))
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        scratch = Path(folder)
        _measure(rounds, config, scratch, measured)
    _print(measured, config)
    return 0


def _measure(rounds: int, config: dict[str, float], scratch: Path, measured: dict[str, list[float]]) -> None:
    os.environ |= environment_of(ROOT, "tests/plugin")
    from assay.engine.cluster.cluster import cluster
    from assay.engine.interrupts import Ending

    with cluster(1, Ending(), lambda text: None):
        for number in range(rounds):
            loop = _seconds(lambda: bare_loop(config))
            bare = _seconds(lambda: bare_tune_and_train(config, scratch / "bare")) - loop
            measured.setdefault("bare Ray Tune + Ray Train", []).append(bare)
            for place, way in enumerate(WAYS):
                storage = scratch / f"storage-{number}-{place}"
                whole = _seconds(lambda w=way, s=storage: study_of(w, config, s, scratch / "cache"))
                measured.setdefault(way.name, []).append((whole - way.trials * loop) / way.trials)


def _seconds(action: Callable[[], None]) -> float:
    return timed(action)[1].wall


def _print(measured: dict[str, list[float]], config: dict[str, float]) -> None:
    bare = measured["bare Ray Tune + Ray Train"]
    print(f"Overhead per trial of {config['epochs'] * config['seconds']:.0f} s, {len(bare)} rounds:\n")  # noqa: T201
    print("| way | median s | min–max s | of bare Tune + Train, median of pairs |\n|---|---|---|---|")  # noqa: T201
    for name, seconds in measured.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, bare, strict=True))
        spread = f"{min(seconds):.2f}–{max(seconds):.2f}"
        print(f"| {name} | {statistics.median(seconds):.2f} | {spread} | {ratio:.2f} |")  # noqa: T201


if __name__ == "__main__":
    raise SystemExit(main())
