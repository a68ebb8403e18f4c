"""A small study, and records as a worker leaves them, for the tests of the command line."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from assay.storage import Environment, Record, Result, Store
from assay.storage.lease import LeaseNote, lease_path
from assay.study import Trial

__all__ = ["STUDY", "Assay", "Output", "finished", "run_elsewhere"]

STUDY = """\
study: small
question: Does the balance pay?
trainable: segdec
data: {reader: synthetic}
supervision: full
config: {preset: ksdd, image_size: [128, 128], channel_scale: 0.125}
factors:
  balance: {off: {config: {balance: none}}, on: {config: {balance: linear}}}
design: {full: all}
comparisons: [{factor: balance}]
repeats: {seeds: [0, 1]}
metrics: {primary: image_ap, report: [fp, fn]}
resources: {workers: 1, cpus: 1}
"""


class Output(NamedTuple):
    """What one call of `assay` ended with."""

    code: int
    out: str
    err: str


Assay = Callable[..., Output]


def finished(trial: Trial, store: Store, image_ap: float = 0.9, *, model: bool = False) -> Record:
    """A record as a worker leaves it, with the files of its attempt."""
    attempt = store.begin_attempt(trial.id, Environment(host="here"))
    files: dict[str, str] = {}
    if model:
        name = "model/model.safetensors"
        files[f"{attempt.name}/{name}"] = store.write_bytes(f"{attempt.prefix}/{name}", b"weights")
    store.write_bytes(f"{attempt.prefix}/log.txt", b"epoch 1/2\nepoch 2/2\n")
    now = datetime.now(UTC)
    record = Record(
        id=trial.id,
        status="finished",
        result=Result(
            metrics={"image_ap": image_ap, "fp": 1.0, "fn": 0.0},
            epochs=2,
            weights_hash="0" * 64,
            n_train=10,
            n_positives=5,
            n_masks=5,
            n_validation=2,
            n_test=6,
        ),
        trial=trial.model_dump(mode="json"),
        study="small",
        files=files,
        attempt=attempt.name,
        started=now - timedelta(seconds=10),
        ended=now,
    )
    store.write_record(record)
    return record


def run_elsewhere(store: Store, study: str = "small", since: float = 3600.0, silent: float = 0.0) -> None:
    """The lease of a run on another machine: since how many seconds it runs, and gave no sign of life."""
    now = time.time()
    note = LeaseNote(
        token="theirs", host="elsewhere", machine="elsewhere", pid=1, started=now - since, beat=now - silent
    )
    store.write_bytes(lease_path(study), note.model_dump_json().encode())
