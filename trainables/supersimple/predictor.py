"""Trained heads on their trunk, ready to predict; saved as safetensors and JSON.

The heatmap is the sigmoid of the map's logits, brought to the image's size and blurred.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from trainables.contract import Prediction
from trainables.nn.layers.blur import gaussian_blur
from trainables.nn.models import forward_context, load_into, save_model
from trainables.nn.passes import in_passes, joined
from trainables.supersimple.config import SuperSimpleConfig
from trainables.supersimple.features import to_pixels
from trainables.supersimple.network import SuperSimpleNet

__all__ = ["SuperSimplePredictor", "load"]

_NUMBERS = 64  # per pixel, of the network that passes are measured by


class SuperSimplePredictor:
    """Scores images with trained heads."""

    def __init__(self, network: SuperSimpleNet, config: SuperSimpleConfig) -> None:
        self.network = network
        self.config = config

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Prediction:
        """Score ``images`` (B × C × H × W, float32 in [0, 1], on the predictor's device)."""
        self.network.eval()
        return joined([self._part(part) for part in in_passes(images, self._cost)])

    @property
    def _cost(self) -> float:
        numbers = 3 * self.config.features + 2 * self.config.map_width + self.config.decision_width
        return max(1.0, numbers / (_NUMBERS * self.config.cell**2))

    def _part(self, images: Tensor) -> Prediction:
        with forward_context(self.config, images.device):
            output = self.network(images)
        map_B1HW = to_pixels(output.map_B1hw, self.config)
        if self.config.map_blur:
            map_B1HW = gaussian_blur(map_B1HW, self.config.map_blur)
        # In float32 every logit above 17 has the score 1; in float64 confident images keep their order.
        return Prediction(output.score_B.double().sigmoid(), map_B1HW[:, 0].sigmoid())

    def to(self, device: torch.device) -> Self:
        """The same predictor with its weights on ``device``."""
        self.network.to(device)
        return self

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` into an existing folder."""
        save_model(folder, self.network, self.config)


def load(folder: Path) -> SuperSimplePredictor:
    """Read what :meth:`SuperSimplePredictor.save` wrote, to the CPU; no weights file is needed."""
    network, config = load_into(folder, SuperSimpleConfig, SuperSimpleNet)
    return SuperSimplePredictor(network.eval(), config)
