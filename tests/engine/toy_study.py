"""Small studies of the toy trainable on synthetic images: planned, run and looked at in one place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from assay.engine import EngineOptions, Outcome, hold_study, train_missing
from assay.storage import Store
from assay.storage.plans import write_plan
from assay.study import Plan, parse_study, plan_study
from tests.helpers.results import result_bytes
from trainables.data import open_manifest

TOY = """
study: {name}
question: Does the engine do what it says?
trainable: toy
data: {{reader: synthetic, options: {{images: 48, positives: 24, items: 24, size: [32, 32]}}}}
supervision: weak
config: {{epochs: {epochs}, seconds: {seconds}}}
factors: {{{factor}}}
design: {{full: all}}
repeats: {{seeds: {seeds}}}
metrics: {{primary: image_ap}}
resources: {{workers: {workers}, cpus: 1, pack: {pack}}}
keep: {{models: none, probes: 2}}
"""


PACE = "pace: {slow: {config: {lr: 0.05}}, fast: {config: {lr: 0.2}}}"


def hold(text: str, beside: Path) -> str:
    """Add to a study's settings that its epochs take their time, until it is released."""
    slow = _slow(beside)
    slow.touch()
    return text.replace("seconds: ", f"slow: {slow}, seconds: ", 1)


def release(beside: Path) -> None:
    """Let the epochs of a study that was held there take no time from now on."""
    _slow(beside).unlink(missing_ok=True)


def _slow(beside: Path) -> Path:
    return beside.with_name(f"{beside.name}.slow")


def run_missing(plan: Plan, store: Store, options: EngineOptions) -> Outcome:
    """Train what is missing of a plan, as a run does between its preregistration and its summary."""
    with hold_study(store, plan.study.study, options) as held:
        write_plan(held.store, plan)
        return train_missing(plan, held, options)


class ToyStudy:
    """A toy study on a storage of its own: plan it, run it, look at its records."""

    def __init__(self, storage: Path, cache: Path, text: str, root: Path | None = None) -> None:
        self.storage, self.cache, self.text, self.root = storage, cache, text, root
        self.store = Store(storage)
        self.plan: Plan = plan_study(
            parse_study(text, "toy"), lambda spec: open_manifest(spec, root, cache), "cpu"
        )

    @classmethod
    def make(
        cls,
        storage: Path,
        cache: Path,
        *,
        seeds: tuple[int, ...] = (0, 1),
        held: bool = False,
        **settings: Any,
    ) -> Self:
        """``settings``: name, epochs, seconds of an epoch, workers, batch, factor (YAML).

        ``held``: epochs last that long until ``release``, and take no time afterwards.
        """
        chosen = {"name": "toy", "epochs": 3, "seconds": 0.0, "workers": 1, "pack": "auto", "factor": PACE}
        template = hold(TOY, storage) if held else TOY
        return cls(storage, cache, template.format(**{**chosen, **settings}, seeds=list(seeds)))

    def release(self) -> None:
        """Let the epochs of a study that was ``held`` take no time from now on."""
        release(self.storage)

    def run(self, **options: Any) -> Outcome:
        chosen = replace(EngineOptions(data_root=self.root, cache=self.cache), **options)
        return run_missing(self.plan, self.store, chosen)

    def records(self) -> dict[str, Any]:
        return self.store.records(trial.id for trial in self.plan.trials)

    def results(self) -> dict[str, bytes]:
        """What must be equal after any interruption."""
        return {name: result_bytes(record) for name, record in self.records().items()}

    def weights(self, trial: str) -> list[float]:
        """The toy's one weight after each epoch."""
        curve = self.store.read_table(f"trials/{trial}/{self.records()[trial].attempt}/curve.parquet")
        return curve["weight"].to_pylist()
