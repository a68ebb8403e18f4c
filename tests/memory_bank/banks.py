"""Banks that are made in a moment."""

from __future__ import annotations

from typing import Any

from tests.unsupervised.normal_images import SIZE
from trainables.contract import LocalRun, Run
from trainables.data.samples import TrainingData
from trainables.memory_bank import TRAINABLE, MemoryBankConfig
from trainables.memory_bank.predictor import MemoryBankPredictor


def tiny_config(**changes: Any) -> MemoryBankConfig:
    settings: dict[str, Any] = {
        "image_size": SIZE, "random_trunk": True, "layers": [4, 8], "projection": 8, "smoothing": 1.0,
    }  # fmt: skip
    return MemoryBankConfig.model_validate(settings | changes)


def fitted(config: MemoryBankConfig, data: TrainingData, run: Run | None = None) -> MemoryBankPredictor:
    predictor = TRAINABLE.fit(config, data, run or LocalRun())
    assert isinstance(predictor, MemoryBankPredictor)
    return predictor
