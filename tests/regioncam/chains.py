"""Tiny configs of region-aware CAM that train in seconds, just enough for each round to see something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.focus.chains import KeptRun, chain_data
from tests.supervised.surfaces import SIZE, surfaces
from trainables.data.samples import TrainingData
from trainables.data.tensors import images_to_tensor
from trainables.regioncam import TRAINABLE, RegionCamConfig
from trainables.regioncam.predictor import RegionCamPredictor
from trainables.stages import Stage, stage_keys

__all__ = [
    "CPU",
    "SIZE",
    "WHOLE",
    "KeptRun",
    "answer_of",
    "chain_data",
    "fitted",
    "pictures",
    "shared_fit",
    "stages_of",
    "tiny",
]

CPU = torch.device("cpu")
WHOLE: dict[str, Any] = {"region": "slic", "rounds": 2, "crf": True}


def tiny(**changes: Any) -> RegionCamConfig:
    settings: dict[str, Any] = {
        "image_size": SIZE, "input": "standardised", "width": 8, "stages": 2, "output_stride": 4,
        "norm": "gn", "lr": 0.01, "batch_size": 8, "epochs": 2, "min_steps": 60, "validate_every": 100,
        "rounds": 0, "round_alike": 1.0, "round_change": 100.0, "segment_base": 4, "segment_levels": 2,
        "segment_epochs": 1, "segment_min_steps": 40, "segment_lr": 0.01,
        "crf_radius": 2, "crf_steps": 2, "crf_guard": 0.0,
    }  # fmt: skip
    return RegionCamConfig.model_validate(settings | changes).resolved("cpu")


@dataclass
class SharedRun(KeptRun):
    """Shares stages with all runs of one folder, by their keys, as on storage."""

    keys: Mapping[str, str] = field(default_factory=dict)
    shared: Path = Path()

    def stage(self, stage: Stage, data: TrainingData) -> Path:
        self.kept = self.shared / self.keys[stage.name]
        self.kept.mkdir(exist_ok=True)
        return super().stage(stage, data)


def shared_fit(config: RegionCamConfig, folder: Path) -> RegionCamPredictor:
    """Fit on ``chain_data()`` with what other fits of ``folder`` have made."""
    run = SharedRun(shared=folder, keys=stage_keys(TRAINABLE.stages(config), {}))
    return TRAINABLE.fit(config, chain_data(), run)


def stages_of(config: RegionCamConfig, shared: Path) -> dict[str, Path]:
    """Folders of the stages that such a fit leaves."""
    shared_fit(config, shared)
    return {name: shared / key / name for name, key in stage_keys(TRAINABLE.stages(config), {}).items()}


def fitted(config: RegionCamConfig, folder: Path, data: TrainingData | None = None) -> RegionCamPredictor:
    """Fit with stages in ``folder``."""
    folder.mkdir(exist_ok=True)
    return TRAINABLE.fit(config, data or chain_data(), KeptRun(kept=folder))


def pictures(count: int) -> Tensor:
    return images_to_tensor([sample.image for sample in surfaces(count, 0, seed=5)], CPU)


def answer_of(settings: dict[str, Any], shared: Path) -> bytes:
    """The bytes of a heatmap."""
    return shared_fit(tiny(**settings), shared).predict(pictures(4)).heatmap.numpy().tobytes()
