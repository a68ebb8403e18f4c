"""Tiny chains: configs that train in a second, and runs whose stages can be looked into, killed and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.supervised.surfaces import surfaces
from trainables.contract import LocalRun
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.spec import Supervision
from trainables.data.tensors import images_to_tensor
from trainables.focus import TRAINABLE, FocusConfig
from trainables.focus.predictor import FocusPredictor
from trainables.stages import Stage, StageWork

__all__ = [
    "KeptRun",
    "chain_data",
    "fitted",
    "noise_images",
    "pictures",
    "tiny_chain",
    "trained_chain",
]

SIZE = (48, 64)
CPU = torch.device("cpu")


def tiny_chain(**changes: Any) -> FocusConfig:
    """A chain of a few steps each; every module is off that ``changes`` do not turn on."""
    settings: dict[str, Any] = {
        "image_size": SIZE, "input": "standardised", "width": 4, "stages": 2, "output_stride": 4,
        "norm": "gn", "lr": 0.01, "batch_size": 8, "epochs": 2, "min_steps": 0, "validate_every": 100,
        "clm_warmup": 0, "gcm_warmup": 0, "iem": "off", "iem_inpainter": "telea", "iem_dilation": 12.0,
        "inpainter_base": 4, "inpainter_levels": 1, "inpainter_epochs": 1,
        "segment_base": 4, "segment_levels": 2, "segment_epochs": 2, "segment_min_steps": 0,
    }  # fmt: skip
    return FocusConfig.model_validate(settings | changes)


def trained_chain(**changes: Any) -> FocusConfig:
    """The same, with enough steps to find the squares of ``chain_data(16)``."""
    enough = {"min_steps": 100, "segment_min_steps": 60, "segment_lr": 0.01, "pool": "gmp", "width": 8}
    return tiny_chain(**{**enough, **changes})


def chain_data(count: int = 6, *, validation: bool = True) -> TrainingData:
    """Squares on textured surfaces, image labels only."""
    held_out = surfaces(5, 8, seed=1, masks=0) if validation else None
    return TrainingData(surfaces(count, count + 2, masks=0), held_out, Supervision(kind="weak"))


def noise_images(count: int, seed: int) -> ImageSet:
    """Surfaces without any defect, the first half of them labelled defective."""
    rng = np.random.default_rng(seed)
    ids = tuple(f"{seed}-{i}" for i in range(count))
    images = {name: rng.integers(0, 256, (32, 32, 1)).astype(np.uint8) for name in ids}
    return ImageSet(ids, np.arange(count) < count // 2, images)


@dataclass
class KeptRun(LocalRun):
    """Keeps the folders of stages, and checkpoints beside them, in ``kept``; dies once, if asked to."""

    kept: Path = Path()
    dies_in: str = ""  # a stage, after its first checkpoint
    made: list[str] = field(default_factory=list)

    def stage(self, stage: Stage, data: TrainingData) -> Path:
        folder = self.kept / stage.name
        if not (folder / "done").exists():
            folder.mkdir(exist_ok=True)
            run = replace(
                self,
                folder=self.kept / f"{stage.name}.state",
                history=[],
                purpose=f"{stage.name}/",
                _stages={},
            )
            run.dies_in = "here" if self.dies_in == stage.name else ""
            inputs = {name: self._stages[name] for name in stage.after}
            stage.make(StageWork(stage.config, inputs, data, run, folder))
            (folder / "done").touch()
            self.made.append(stage.name)
        self._stages[stage.name] = folder
        return folder

    def checkpoint(self, epoch: int, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        super().checkpoint(epoch, tensors, meta)
        if self.dies_in == "here":
            raise KeyboardInterrupt


def fitted(config: FocusConfig, folder: Path, data: TrainingData | None = None) -> FocusPredictor:
    """Fit with stages in ``folder``."""
    folder.mkdir(exist_ok=True)
    return TRAINABLE.fit(config, data or chain_data(), KeptRun(kept=folder))


def pictures(count: int) -> Tensor:
    """Defective surfaces that no chain was trained on."""
    return images_to_tensor([sample.image for sample in surfaces(count, 0, seed=5)], CPU)
