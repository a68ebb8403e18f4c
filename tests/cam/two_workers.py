"""One rank of a classifier's training over gloo, without Ray.

With an attachment that looks across the batch. Used by ``test_two_workers.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from assay.engine.process.fit import TrainRun
from assay.engine.worker.trial_log import StoredLog
from assay.storage import Environment, Store
from tests.cam.surfaces import tiny_config, tiny_data
from tests.cam.test_classifier import Pull
from tests.engine.worker.two_workers import trial_of
from trainables.cam.classifier import train_classifier
from trainables.nn.choices import Norm


def train(rank: int, world_size: int, folder: Path, norm: Norm) -> None:
    """Train two epochs of two steps, and write what came of it."""
    config = tiny_config(norm=norm, epochs=2, batch_size=6, lr=0.003)
    store = Store(folder)
    attempt = store.begin_attempt("0" * 16, Environment())
    device = torch.device("cpu")
    trial_log = StoredLog(trial_of("cam", config), store, attempt, rank=rank, world_size=world_size)
    run = TrainRun(trial_log, seed=0, fold=None, device=device, rank=rank, world_size=world_size)
    pull = Pull(0.5)
    net = train_classifier(config, tiny_data(count=5), run, [pull])  # the last batch: two and two
    out = folder / f"rank{rank}"
    out.mkdir()
    tensors = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    tensors |= {f"pull.{name}": tensor for name, tensor in pull.state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / "weights.safetensors")
    (out / "seen.json").write_text(json.dumps({"history": trial_log.history, "samples": run.samples}))
