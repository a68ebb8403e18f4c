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

from torch import Tensor

from trainables.contract import Prediction
from trainables.nn.layers.pooling import enlarge_cells
from trainables.nn.models import forward_context, load_into
from trainables.nn.predictor import NetworkPredictor, defect_probability
from trainables.supervised.config import SupervisedConfig
from trainables.supervised.network import PlainClassifier, SupervisedNet, SupervisedOutput, build

__all__ = ["SupervisedPredictor", "load"]


class SupervisedPredictor(NetworkPredictor[SupervisedNet, SupervisedConfig]):
    """Scores images with a trained network."""

    def predict_pass(self, images: Tensor) -> Prediction:
        with forward_context(self.config, images.device):
            output: SupervisedOutput = self.network(images)
        score_B = defect_probability(output.cls_logits_B)
        if not isinstance(self.network, PlainClassifier):
            return Prediction(score_B, output.map_logits_B1hw.sigmoid()[:, 0])
        # The scale is that of training, one for all images: a normal image then stays dark.
        map_B1hw = self.network.head.activation(output.map_logits_B1hw) / self.network.map_scale
        size = (images.shape[2], images.shape[3])
        map_BHW = enlarge_cells(map_B1hw, self.config.resnet.output_stride, size).clamp(0, 1)
        # An image that is held for normal has its map turned down with its score.
        if self.config.gate_by_score:
            map_BHW = map_BHW * score_B.float()[:, None, None]
        return Prediction(score_B, map_BHW)


def load(folder: Path) -> SupervisedPredictor:
    """Read what :meth:`SupervisedPredictor.save` wrote, to the CPU; no weights file is needed."""
    network, config = load_into(folder, SupervisedConfig, build)
    return SupervisedPredictor(network.eval(), config)
