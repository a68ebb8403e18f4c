"""Tiny textured surfaces, and heads on an own trunk that train on them in a second."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.supervised.surfaces import SIZE, surfaces, tiny_data
from trainables.contract import LocalRun, Run
from trainables.data.samples import TrainingData
from trainables.data.spec import Supervision
from trainables.supersimple import TRAINABLE, SuperSimpleConfig
from trainables.supersimple.predictor import SuperSimplePredictor

__all__ = ["SIZE", "data_of", "fitted", "head_weights", "tiny_config"]


def tiny_config(**changes: Any) -> SuperSimpleConfig:
    own: dict[str, Any] = {
        "input": "standardised", "width": 4, "stages": 2, "blocks": 1, "output_stride": 4, "norm": "gn",
        "lr": 0.01, "batch_size": 8, "epochs": 2, "min_steps": 0, "validate_every": 100,
    }  # fmt: skip
    settings: dict[str, Any] = {
        "image_size": SIZE, "doubled": False, "map_width": 8, "decision_width": 4, "head_epochs": 2,
        "head_batch": 4, "adaptor_lr": 1e-3, "head_lr": 2e-3,
    }  # fmt: skip
    if changes.get("trunk", "own") == "own":
        settings |= own
    return SuperSimpleConfig.model_validate(settings | changes)


def data_of(supervision: str, *, masks: int = 2) -> TrainingData:
    """Six defective and eight normal images; two of the masks with ``mixed``."""
    shown = {"none": 0, "weak": 0, "mixed": masks, "full": None}[supervision]
    data = tiny_data(masks=shown, validation=False)
    if supervision != "none":
        return data
    return replace(data, train=surfaces(0, 8), supervision=Supervision.model_validate("none"))


def fitted(
    config: SuperSimpleConfig, data: TrainingData | None = None, run: Run | None = None
) -> SuperSimplePredictor:
    found = TRAINABLE.fit(config, data or data_of("full"), run or LocalRun())
    assert isinstance(found, SuperSimplePredictor)
    return found


def head_weights(predictor: SuperSimplePredictor) -> dict[str, Any]:
    return dict(predictor.network.heads.state_dict())
