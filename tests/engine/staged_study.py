"""Studies of the staged toy: trained here without Ray, or through the engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assay.engine.order import stage_batches
from assay.engine.trial_batch import StageTask
from assay.engine.worker.train_trials import train_trials
from assay.engine.worker.worker import BatchWorker
from assay.study import Trial
from tests.engine.made_batches import make_batch
from tests.engine.toy_study import ToyStudy, hold

__all__ = ["STAGED", "StagedStudy"]

STAGED = """
study: {name}
trainable: staged
data: {{reader: synthetic, options: {{images: 48, positives: 24, items: 24, size: [32, 32]}}}}
supervision: weak
config: {{epochs: {epochs}, seconds: {seconds}}}
factors:
  sharpen: {{off: {{config: {{sharpen: false}}}}, on: {{config: {{sharpen: true}}}}}}
  last: {{none: {{config: {{last: 0.0}}}}, some: {{config: {{last: 0.1}}}}}}
design: {{full: all}}
repeats: {{seeds: {seeds}}}
metrics: {{primary: image_ap}}
resources: {{workers: {workers}, cpus: 1}}
keep: {{models: none, probes: 2}}
"""


class StagedStudy(ToyStudy):
    """Two switches after one base: four cells, which share a base and two maps in each repeat."""

    @classmethod
    def of(
        cls,
        storage: Path,
        cache: Path,
        *,
        seeds: Sequence[int] = (0, 1),
        text: str = STAGED,
        held: bool = False,
        root: Path | None = None,
        **settings: object,
    ) -> StagedStudy:
        chosen = {"name": "staged", "epochs": 3, "seconds": 0.0, "workers": 1}
        text = hold(text, storage) if held else text
        return cls(storage, cache, text.format(**{**chosen, **settings}, seeds=list(seeds)), root)

    def stages(self) -> list[list[StageTask]]:
        """The batches of stages that come first."""
        return stage_batches(self.plan.trials, self.store, slots=4)

    def train(self, trials: Sequence[Trial] = (), stages: Sequence[StageTask] = ()) -> None:
        """Train here, in this process."""
        root = str(self.root) if self.root is not None else None
        batch = make_batch(self.plan, trials, stages, data_root=root, cache=self.cache)
        train_trials(BatchWorker(batch, self.store, 0, 1, "here", 0, "cpu"))
