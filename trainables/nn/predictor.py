"""A trained network that scores images in passes, saved as safetensors and JSON: all predictors share it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from trainables.contract import Prediction, TrainableConfig
from trainables.nn.batches.passes import in_passes, joined
from trainables.nn.models import save_model

__all__ = ["ConfigT", "NetworkPredictor", "NetworkT", "defect_probability"]

NetworkT = TypeVar("NetworkT", bound=nn.Module)
ConfigT = TypeVar("ConfigT", bound=TrainableConfig)


class NetworkPredictor(ABC, Generic[NetworkT, ConfigT]):
    """Scores images with a network; a method says how it scores those of one pass."""

    def __init__(self, network: NetworkT, config: ConfigT) -> None:
        self.network = network
        self.config = config

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Prediction:
        """Score ``images`` (B × C × H × W, float32 in [0, 1], on the predictor's device)."""
        self.network.eval()
        return joined([self.predict_pass(images_BCHW) for images_BCHW in self.passes(images)])

    @abstractmethod
    def predict_pass(self, images: Tensor) -> Prediction:
        """Score the images of one pass."""

    def passes(self, images: Tensor) -> Sequence[Tensor]:
        """The batch in parts that memory holds; in one while it is exported."""
        return in_passes(images, self.config.pass_cost)

    def to(self, device: torch.device) -> Self:
        """The same predictor with its weights on ``device``."""
        self.network.to(device)
        return self

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` into an existing folder."""
        save_model(folder, self.network, self.config)


def defect_probability(logits_B: Tensor) -> Tensor:
    """p(defect) of images from their logits, in float64, where confident images keep their order.

    In float32 every logit above 17 has the score 1.
    """
    return logits_B.double().sigmoid()
