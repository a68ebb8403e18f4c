"""A trained baseline, ready to predict; saved as safetensors and JSON.

The score is the sigmoid of the image's logit. The heatmap is the U-Net's pixel probability, or the
classifier's class-activation map ``relu(L − bias)`` with cell i at pixel stride · i, divided by one number
for all images (the 99.5th percentile of the maxima over training positives) and clipped at 1. Dividing
each map by its own maximum, as is common for pictures, would make every normal image reach 1.

Maps of a classifier may lie some pixels off as a whole (up to 12 were measured on real cracks): no pooling
sees a constant shift, so image labels do not pin it down.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from trainables.contract import Prediction
from trainables.nn.layers.pooling import enlarge_cells
from trainables.nn.models import forward_context, load_into, save_model
from trainables.nn.passes import in_passes
from trainables.supervised.config import SupervisedConfig
from trainables.supervised.network import PlainClassifier, SupervisedNet, SupervisedOutput, build

__all__ = ["SupervisedPredictor", "load"]


class SupervisedPredictor:
    """Scores images with a trained network."""

    def __init__(self, network: SupervisedNet, config: SupervisedConfig) -> None:
        self.network = network
        self.config = config

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Prediction:
        """Score ``images`` (B × C × H × W, float32 in [0, 1], on the predictor's device)."""
        self.network.eval()
        parts = [self._part(part) for part in in_passes(images)]
        scores, heatmaps = zip(*parts, strict=True)
        return Prediction(torch.cat(scores), torch.cat(heatmaps))

    def _part(self, images: Tensor) -> Prediction:
        with forward_context(self.config, images.device):
            output: SupervisedOutput = self.network(images)
        score_B = output.cls_logits_B.sigmoid()
        if not isinstance(self.network, PlainClassifier):
            return Prediction(score_B, output.map_logits_B1hw.sigmoid()[:, 0])
        map_B1hw = self.network.head.activation(output.map_logits_B1hw) / self.network.map_scale
        size = (images.shape[2], images.shape[3])
        map_BHW = enlarge_cells(map_B1hw, self.config.resnet.output_stride, size).clamp(0, 1)
        return Prediction(score_B, map_BHW * score_B[:, None, None] if self.config.gate_by_score else map_BHW)

    def to(self, device: torch.device) -> Self:
        """The same predictor with its weights on ``device``."""
        self.network.to(device)
        return self

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` into an existing folder."""
        save_model(folder, self.network, self.config)


def load(folder: Path) -> SupervisedPredictor:
    """Read what :meth:`SupervisedPredictor.save` wrote, to the CPU; no weights file is needed."""
    network, config = load_into(folder, SupervisedConfig, build)
    return SupervisedPredictor(network.eval(), config)
