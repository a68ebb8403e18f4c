"""A method that is written for one test: what it gets away with is a few lines in its ``fit``."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from threading import Event

from assay.engine.durations import Limits
from assay.engine.process.fork_server import ForkServer
from assay.engine.worker.train_trials import train_trials, trainer_of
from assay.engine.worker.worker import BatchWorker
from assay.storage import Record, Store
from assay.study import parse_study, plan_study
from tests.engine.made_batches import make_batch
from trainables.data import open_manifest

__all__ = ["Odd", "log_of", "train_odd"]

STUDY = """
study: odd
question: What does a method get away with?
trainable: ./odd.py:TRAINABLE
data: {reader: synthetic, options: {images: 24, positives: 12, items: 12, size: [64, 64]}}
supervision: full
config: {image_size: [64, 64]}
repeats: {seeds: [0]}
metrics: {primary: image_ap}
"""

METHOD = """
import ctypes, gc, glob, os, signal, sys, time
from pathlib import Path
import torch
from trainables.contract import Prediction, Trainable, TrainableConfig

STORAGE, CACHE = Path({storage!r}), Path({cache!r})

class Answer:
    score_of_defects = 0.5
    def predict(self, images):
        maps = torch.full(images.shape[:1] + images.shape[2:], 0.5)
        return Prediction(torch.full((len(images),), 0.5), maps)
    def save(self, folder):
        from safetensors.torch import save_file
        save_file({{"weight": torch.zeros(1)}}, folder / "model.safetensors")
        (folder / "config.json").write_text("{{}}")
    def to(self, device):
        return self

def fit(config, data, run):
{body}
    return Answer()

TRAINABLE = Trainable(
    name="odd", revision=1, title="Odd", Config=TrainableConfig, presets={{}},
    supervisions=frozenset({{"none", "weak", "mixed", "full"}}), fit=fit, load=lambda folder: Answer(),
)
"""

Odd = Callable[..., tuple[Store, Record]]
_NONE = Limits(None, None)


def train_odd(
    folder: Path, cache: Path, server: ForkServer, body: str, limits: Limits = _NONE
) -> tuple[Store, Record]:
    """Train a method whose ``fit`` is the given lines; returns storage and record."""
    store = Store(folder / "storage")
    store.probe()
    lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    text = METHOD.format(storage=str(store.local_path), cache=str(cache), body=lines)
    (folder / "odd.py").write_text(text)
    study = folder / "odd.yaml"
    study.write_text(STUDY)
    plan = plan_study(parse_study(STUDY, str(study)), lambda spec: open_manifest(spec, None, cache), "cpu")
    batch = make_batch(plan, plan.trials, cache=cache, limits=limits)
    train_trials(BatchWorker(batch, store, 0, 1, "node", 0, "cpu", trainer_of(batch, store, server, Event())))
    record = store.record(plan.trials[0].id)
    assert isinstance(record, Record)
    return store, record


def log_of(store: Store, record: Record) -> str:
    return store.read_bytes(f"trials/{record.id}/{record.attempt}/log.txt").decode()
