"""Runs of the program on a cluster of :mod:`tests.engine.cluster.ray_nodes`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.engine.toy_study import ToyStudy

PATIENCE = 150.0  # seconds, on a busy machine

Start = Callable[..., subprocess.Popen[str]]


def write(study: ToyStudy) -> Path:
    file = study.storage.parent / f"{study.plan.study.study}.yaml"
    file.write_text(study.text)
    return file


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in output, output
    return process.returncode, output


def training(study: ToyStudy, epoch: int) -> bool:
    beats = [study.store.progress(trial.id) for trial in study.plan.trials]
    return any(beat is not None and beat.epoch >= epoch for beat in beats)
