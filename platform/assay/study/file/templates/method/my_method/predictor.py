"""The trained model: a score and a heatmap for each image, saved as safetensors and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor
from trainables.contract import Prediction
from trainables.nn.models import forward_context, load_model, save_model, with_layout

from .config import MyMethodConfig
from .network import Network

__all__ = ["MyMethodPredictor", "load"]


class MyMethodPredictor:
    """Scores images with a trained network."""

    def __init__(self, network: Network, config: MyMethodConfig) -> None:
        self.network, self.config = network, config

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Prediction:
        """Score ``images`` (B × C × H × W in [0, 1]); ``assay export`` traces this method."""
        # In training mode batch normalisation would mix the images of a batch, and dropout draw anew.
        self.network.eval()
        with forward_context(self.config, images.device):
            logits_B1hw = self.network(images)
        heatmap_B1HW = F.interpolate(torch.sigmoid(logits_B1hw.float()), images.shape[2:], mode="bilinear")
        # In float64 confident images keep their order: in float32 every logit above 17 has the score 1.
        score_B = torch.sigmoid(logits_B1hw.double()).amax(dim=(1, 2, 3))
        return Prediction(score_B, heatmap_B1HW[:, 0])

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` into an existing folder."""
        save_model(folder, self.network, self.config)

    def to(self, device: torch.device) -> Self:
        """Move the weights to ``device``."""
        self.network.to(device)
        return self


def load(folder: Path) -> MyMethodPredictor:
    """Read what :meth:`MyMethodPredictor.save` wrote, to the CPU."""
    tensors, config = load_model(folder, MyMethodConfig)
    network = Network(config.channels, config.width)
    network.load_state_dict(tensors)
    network.eval()  # a new network is in training mode
    return MyMethodPredictor(with_layout(network, config), config)
