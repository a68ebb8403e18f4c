"""A trained SegDecNet, ready to predict; saved as safetensors and JSON.

The heatmap is the mask head's probability, brought to full size bilinearly. Training's targets are centred
on pixel 8 i (see ``targets.py``), so cell i is put there and not, as a plain resize would, at 8 i + 3.5.
(KolektorSDD, one quarter-width model: pixel AP 0.44 instead of 0.34.)
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from trainables.contract import Prediction
from trainables.nn.layers.pooling import enlarge_cells
from trainables.nn.models import forward_context, load_into
from trainables.nn.predictor import NetworkPredictor, defect_probability
from trainables.segdec.config import SegDecConfig
from trainables.segdec.mask_maps import CELL
from trainables.segdec.network import SegDecNet

__all__ = ["SegDecPredictor", "load"]


class SegDecPredictor(NetworkPredictor[SegDecNet, SegDecConfig]):
    """Scores images with a trained network."""

    def predict_pass(self, images: Tensor) -> Prediction:
        with forward_context(self.config, images.device):
            output = self.network(images)
        map_BHW = enlarge_cells(output.seg_logits_B1hw.sigmoid(), CELL, self.config.image_size)
        return Prediction(defect_probability(output.cls_logits_B), map_BHW)


def load(folder: Path) -> SegDecPredictor:
    """Read what :meth:`SegDecPredictor.save` wrote, to the CPU."""
    return SegDecPredictor(*load_into(folder, SegDecConfig, SegDecNet))
