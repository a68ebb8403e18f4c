"""One Ray for the whole session, and small studies of the toy trainable on synthetic images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.engine import EngineOptions, Outcome, run_study
from assay.results import Store
from assay.study import Plan, parse_study, plan_study
from trainables.data import open_manifest

TOY = """
study: {name}
question: Does the engine do what it says?
trainable: toy
data: {{reader: synthetic, options: {{images: 48, positives: 24, items: 24, size: [32, 32]}}}}
supervision: weak
config: {{epochs: 3, seconds: {seconds}}}
factors:
  pace: {{slow: {{config: {{lr: 0.05}}}}, fast: {{config: {{lr: 0.2}}}}}}
design: {{full: all}}
repeats: {{seeds: {seeds}}}
metrics: {{primary: image_ap}}
resources: {{workers: {workers}, cpus: 1, pack: {pack}}}
keep: {{models: none, probes: 2}}
"""


class ToyStudy:
    """A toy study on a storage of its own: plan it, run it, look at its records."""

    def __init__(self, storage: Path, cache: Path, text: str) -> None:
        self.storage, self.cache, self.text = storage, cache, text
        self.store = Store(storage)
        self.plan: Plan = plan_study(
            parse_study(text, "toy"), lambda spec: open_manifest(spec, None, cache), "cpu"
        )

    def run(self, scheduler: Any = None, **options: Any) -> Outcome:
        chosen = replace(EngineOptions(data_root=None, cache=self.cache), **options)
        return run_study(self.plan, self.store, chosen, scheduler)

    def records(self) -> dict[str, Any]:
        return self.store.records(trial.id for trial in self.plan.trials)

    def results(self) -> dict[str, bytes]:
        """What must be equal after any interruption."""
        return {name: record.result_bytes() for name, record in self.records().items()}


@pytest.fixture
def toy(tmp_path: Path, cache_root: Path) -> Callable[..., ToyStudy]:
    """Make a toy study: ``toy(seeds=[0], seconds=0.2, extra="fault: die")``."""

    def make(
        name: str = "toy",
        seeds: tuple[int, ...] = (0, 1),
        seconds: float = 0.0,
        workers: int = 1,
        pack: str = "auto",
        edit: Callable[[str], str] = lambda text: text,
        storage: str = "storage",
    ) -> ToyStudy:
        text = TOY.format(name=name, seeds=list(seeds), seconds=seconds, workers=workers, pack=pack)
        return ToyStudy(tmp_path / storage, cache_root, edit(text))

    return make


@pytest.fixture
def free_cluster(ray_session: None) -> Iterator[None]:
    """After the test all CPUs are free and no placement group is left."""
    import ray
    from ray.util.placement_group import placement_group_table

    yield
    left = [entry for entry in placement_group_table().values() if entry["state"] != "REMOVED"]
    assert left == []
    assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"]
