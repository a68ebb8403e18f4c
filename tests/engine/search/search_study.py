"""Searches of the toy without Ray: the engine's own batches and worker code, one batch after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assay.engine.search.search_batches import search_batches
from assay.engine.worker.train_trials import train_trials
from assay.engine.worker.worker import BatchWorker
from assay.storage import Record, Result, Store
from assay.storage.search_points import read_points, with_points
from assay.study import Point, SearchPlan, Trial, parse_study, plan_study
from tests.engine.made_batches import make_batch
from tests.helpers.results import result_bytes
from trainables.data import open_manifest

__all__ = ["SEARCH", "ToySearch", "made_record", "made_result"]

SEARCH = """
study: {name}
trainable: toy
data: {{reader: synthetic, options: {{images: 48, positives: 24, items: 24, size: [32, 32]}}}}
supervision: weak
config: {{epochs: {epochs}, seconds: {seconds}, x: 0.9}}
search:
  {{sampler: {sampler}, points: {points}, batch: {batch}, seed: {seed},
   objective: {{max: validation.image_ap}}{more}}}
space:
{space}
start: {start}
{replicate}
repeats: {{seeds: {seeds}}}
metrics: {{primary: image_ap}}
resources: {{workers: 1, cpus: 1, pack: {pack}}}
keep: {{models: none, probes: 0}}
"""
SPACE = """\
  config.x: {float: [0.0, 1.0]}
  config.shape: {choice: [round, flat]}
  config.y: {float: [0.1, 1.0], log: true, when: {config.shape: round}}"""
_DEFAULTS = {
    "name": "toy_search",
    "sampler": "tpe",
    "points": 12,
    "batch": 3,
    "seed": 0,
    "seeds": [0, 1],
    "epochs": 2,
    "seconds": 0,
    "pack": "auto",
    "start": "[preset]",
    "more": "",
    "space": SPACE,
    "replicate": "replicate: {best: 2, seeds: [10, 11]}",
}


class ToySearch:
    """A search of the toy on a storage of its own."""

    def __init__(self, storage: Path, cache: Path, text: str = SEARCH, **settings: object) -> None:
        self.text = text.format(**{**_DEFAULTS, **settings})
        self.store, self.cache = Store(storage), cache
        self.plan = self.planned()

    def planned(self) -> SearchPlan:
        return plan_study(
            parse_study(self.text, "search"), lambda spec: open_manifest(spec, None, self.cache), "cpu"
        )

    @property
    def points(self) -> list[Point]:
        return read_points(self.store, self.plan)

    @property
    def grown(self) -> SearchPlan:
        return with_points(self.plan, self.store)

    def records(self) -> dict[str, Record]:
        return self.store.records(trial.id for trial in self.grown.trials)

    def results(self) -> dict[str, bytes]:
        """What must be equal whatever happened on the way."""
        return {id_: result_bytes(record) for id_, record in self.records().items()}

    def run(self, batches: int | None = None, train: Callable[[Sequence[Trial]], None] | None = None) -> int:
        """Train up to ``batches`` batches (default: all), the last one handed out first; returns their
        number.

        As many are handed out at a time as the search gives: a batch.
        """
        in_flight: set[str] = set()
        waiting: list[list[Trial]] = []
        done = 0
        for batch in search_batches(self.plan, self.store, in_flight):
            if batch is not None:
                in_flight |= {trial.id for trial in batch}
                waiting.append(batch)
                continue
            if done == batches:
                break
            last = waiting.pop()
            (train or self._train)(last)
            in_flight -= {trial.id for trial in last}
            done += 1
        return done

    def run_made(
        self,
        value: Callable[[Trial], float] = lambda trial: 1 - trial.config["x"],
        batches: int | None = None,
    ) -> int:
        """Run with made records: ``value`` is a score on validation, and the test says the opposite."""

        def train(trials: Sequence[Trial]) -> None:
            for trial in trials:
                result = made_result(1 - value(trial), value(trial))
                self.store.write_record(made_record(trial, result=result))

        return self.run(batches, train)

    def _train(self, trials: Sequence[Trial]) -> None:
        batch = make_batch(self.plan, trials, cache=self.cache)
        train_trials(BatchWorker(batch, self.store, 0, 1, "here", 0, "cpu"))


def made_record(trial: Trial, **changes: Any) -> Record:
    """A finished trial's record."""
    now = datetime.now(UTC)
    return Record(
        **{
            "id": trial.id,
            "status": "finished",
            "trial": trial.model_dump(mode="json"),
            "study": "s",
            "started": now,
            "ended": now,
            **changes,
        }
    )


def made_result(test: float, validation: float) -> Result:
    """A result of these image APs."""
    return Result(
        metrics={"image_ap": test},
        validation={"image_ap": validation},
        epochs=1,
        weights_hash="0",
        n_train=1,
        n_positives=1,
        n_masks=0,
        n_validation=1,
        n_test=1,
    )
