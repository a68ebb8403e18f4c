"""A trained SegDecNet, ready to predict; saved as safetensors and JSON.

The heatmap is the mask head's probability, brought to full size bilinearly. Training's targets are centred
on pixel 8 i (see ``targets.py``), so cell i is put there and not, as a plain resize would, at 8 i + 3.5.
(KolektorSDD, one quarter-width model: pixel AP 0.44 instead of 0.34.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from trainables.contract import Prediction
from trainables.nn.models import forward_context, load_into
from trainables.nn.passes import in_passes
from trainables.nn.predictor import NetworkPredictor, defect_probability
from trainables.segdec.config import SegDecConfig
from trainables.segdec.network import SegDecNet

__all__ = ["SegDecPredictor", "load", "pass_cost"]

# A full-width network's training takes 1.3 GB for 512 × 512 pixels in float32.
_FULL_WIDTH_COST = 4


class SegDecPredictor(NetworkPredictor[SegDecNet, SegDecConfig]):
    """Scores images with a trained network."""

    def predict_pass(self, images: Tensor) -> Prediction:
        with forward_context(self.config, images.device):
            output = self.network(images)
        return Prediction(defect_probability(output.cls_logits_B), upsample(output.seg_logits_B1hw.sigmoid()))

    def passes(self, images: Tensor) -> Sequence[Tensor]:
        return in_passes(images, pass_cost(self.config))


def load(folder: Path) -> SegDecPredictor:
    """Read what :meth:`SegDecPredictor.save` wrote, to the CPU."""
    return SegDecPredictor(*load_into(folder, SegDecConfig, SegDecNet))


def upsample(map_B1hw: Tensor) -> Tensor:
    """Bring a map on the mask's grid to full size, B × 8h × 8w, with cell i at pixel 8 i."""
    height, width = 8 * map_B1hw.shape[2], 8 * map_B1hw.shape[3]
    padded = F.pad(map_B1hw, (0, 1, 0, 1), mode="replicate")
    large = F.interpolate(padded, size=(height + 1, width + 1), mode="bilinear", align_corners=True)
    return large[:, 0, :height, :width].contiguous()


def pass_cost(config: SegDecConfig) -> float:
    """Memory that a pixel takes, in the units of :func:`trainables.nn.passes.in_passes`."""
    return _FULL_WIDTH_COST * config.channel_scale
