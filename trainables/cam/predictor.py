"""A trained classifier and its maps, ready to predict; saved as safetensors and JSON.

The score is the sigmoid of the image's logit, the heatmap the map on the scale of defective training images,
times the score if ``gate_by_score``.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from torch import Tensor

from trainables.cam.config import CamConfig, MapSettings
from trainables.cam.maps import CamMaps
from trainables.cam.network import Classifier
from trainables.contract import Prediction, StageMaps
from trainables.nn.models import load_into
from trainables.nn.predictor import NetworkPredictor, defect_probability

__all__ = ["CamPredictor", "load"]


class CamPredictor(NetworkPredictor[CamMaps, CamConfig]):
    """Scores images with a classifier."""

    def predict_pass(self, images: Tensor) -> Prediction:
        logits_B, map_BHW = self.network.heatmaps(images)
        score_B = defect_probability(logits_B)
        if self.config.gate_by_score:
            map_BHW = map_BHW * score_B[:, None, None].float()
        return Prediction(score_B, map_BHW)

    def predict_stages(self, images: Tensor, known: Collection[str] = ()) -> StageMaps:
        """The answer, and the one stage that there is: ``cam``, the heatmap, B × H × W in [0, 1]."""
        prediction = self.predict(images)
        return StageMaps(prediction, {"cam": prediction.heatmap})


def load(folder: Path) -> CamPredictor:
    """Read what :meth:`CamPredictor.save` wrote, to the CPU; no weights file is needed."""
    maps, config = load_into(folder, CamConfig, _maps_of)
    return CamPredictor(maps.eval(), config)


def _maps_of(config: CamConfig) -> CamMaps:
    return CamMaps(Classifier(config), MapSettings.of(config))
