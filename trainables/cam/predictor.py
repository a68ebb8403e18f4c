"""A trained classifier and its maps, ready to predict; saved as safetensors and JSON.

The score is the sigmoid of the image's logit, the heatmap the map on the scale of defective training images,
times the score if ``gate_by_score``.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from trainables.cam.config import CamConfig, MapSettings
from trainables.cam.maps import CamMaps
from trainables.cam.network import Classifier
from trainables.contract import Prediction, StageMaps
from trainables.nn.models import load_into, save_model
from trainables.nn.passes import in_passes

__all__ = ["CamPredictor", "load"]


class CamPredictor:
    """Scores images with a classifier."""

    def __init__(self, maps: CamMaps, config: CamConfig) -> None:
        self.maps = maps
        self.config = config

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Prediction:
        """Score ``images`` (B × C × H × W, float32 in [0, 1], on the predictor's device)."""
        self.maps.eval()
        parts = [self.maps.heatmaps(part) for part in in_passes(images)]
        # In float32 every logit above 17 has the score 1; in float64 confident images keep their order.
        score_B = torch.cat([part.score_B for part in parts]).double().sigmoid()
        map_BHW = torch.cat([part.map_BHW for part in parts])
        if self.config.gate_by_score:
            map_BHW = map_BHW * score_B[:, None, None].float()
        return Prediction(score_B, map_BHW)

    def predict_stages(self, images: Tensor, known: Collection[str] = ()) -> StageMaps:
        """The answer, and the one stage that there is: ``cam``, the heatmap, B × H × W in [0, 1]."""
        prediction = self.predict(images)
        return StageMaps(prediction, {"cam": prediction.heatmap})

    def to(self, device: torch.device) -> Self:
        """The same predictor with its weights on ``device``."""
        self.maps.to(device)
        return self

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` into an existing folder."""
        save_model(folder, self.maps, self.config)


def load(folder: Path) -> CamPredictor:
    """Read what :meth:`CamPredictor.save` wrote, to the CPU; no weights file is needed."""
    maps, config = load_into(folder, CamConfig, _maps_of)
    return CamPredictor(maps.eval(), config)


def _maps_of(config: CamConfig) -> CamMaps:
    return CamMaps(Classifier(config), MapSettings.of(config))
