"""Trained heads on their trunk, ready to predict; saved as safetensors and JSON.

The heatmap is the sigmoid of the map's logits, brought to the image's size and blurred.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from trainables.contract import Prediction
from trainables.nn.layers.blur import gaussian_blur
from trainables.nn.models import forward_context, load_into
from trainables.nn.predictor import NetworkPredictor, defect_probability
from trainables.supersimple.config import SuperSimpleConfig
from trainables.supersimple.features import to_pixels
from trainables.supersimple.network import SuperSimpleNet

__all__ = ["SuperSimplePredictor", "load"]


class SuperSimplePredictor(NetworkPredictor[SuperSimpleNet, SuperSimpleConfig]):
    """Scores images with trained heads."""

    def predict_pass(self, images: Tensor) -> Prediction:
        with forward_context(self.config, images.device):
            output = self.network(images)
        # Enlarged before the blur, whose standard deviation is in pixels of the image.
        map_B1HW = to_pixels(output.map_B1hw, self.config)
        if self.config.map_blur:
            map_B1HW = gaussian_blur(map_B1HW, self.config.map_blur)
        return Prediction(defect_probability(output.score_B), map_B1HW[:, 0].sigmoid())


def load(folder: Path) -> SuperSimplePredictor:
    """Read what :meth:`SuperSimplePredictor.save` wrote, to the CPU; no weights file is needed."""
    network, config = load_into(folder, SuperSimpleConfig, SuperSimpleNet)
    return SuperSimplePredictor(network.eval(), config)
