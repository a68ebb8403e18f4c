"""Configs that train in seconds on the supervised tests' surfaces, and a run that two threads share."""

from __future__ import annotations

from typing import Any

from tests.supervised.surfaces import SIZE, surfaces, tiny_data
from trainables.cam import CamConfig

__all__ = ["SIZE", "surfaces", "tiny_config", "tiny_data"]


def tiny_config(**changes: Any) -> CamConfig:
    settings: dict[str, Any] = {
        "image_size": SIZE, "width": 8, "stages": 2, "output_stride": 4, "contrast_sigma": 6,
        "epochs": 3, "min_steps": 0, "batch_size": 4, "lr": 0.01, "validate_every": 1,
    }  # fmt: skip
    return CamConfig.model_validate(settings | changes).resolved("cpu")
