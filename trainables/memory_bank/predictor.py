"""A bank with the scales of its map and score; saved as safetensors and JSON."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from trainables.contract import Prediction
from trainables.data.samples import ImageSet
from trainables.memory_bank.bank import Bank
from trainables.memory_bank.config import MemoryBankConfig
from trainables.nn.batches.passes import image_passes
from trainables.nn.models import load_model, with_layout
from trainables.nn.predictor import NetworkPredictor
from trainables.unsupervised.score import Saturation, measure_scales

__all__ = ["Detector", "MemoryBankPredictor", "load", "read_bank"]


class Detector(nn.Module):
    """A bank, and the scales of its map and score."""

    def __init__(self, bank: Bank, config: MemoryBankConfig) -> None:
        super().__init__()
        self.config = config
        self.bank = bank
        self.map_scale = Saturation()
        self.score_scale = Saturation()

    def forward(self, images_BCHW: Tensor) -> Prediction:
        """Scores and maps in [0, 1]."""
        map_BHW, score_B = self.bank.anomaly(images_BCHW)
        return Prediction(self.score_scale(score_B), self.map_scale(map_BHW))

    @torch.no_grad()
    def measure(self, images: ImageSet) -> None:
        """Take both scales from held-out normal images."""
        device = self.map_scale.centre.device
        batches = image_passes(images, range(len(images)), device, self.config.pass_cost)
        measure_scales(self.map_scale, self.score_scale, (self.bank.anomaly(batch) for batch in batches))


class MemoryBankPredictor(NetworkPredictor[Detector, MemoryBankConfig]):
    """Scores images by their distance from normal ones."""

    def predict_pass(self, images: Tensor) -> Prediction:
        return self.network(images)


def load(folder: Path) -> MemoryBankPredictor:
    """Read what :meth:`MemoryBankPredictor.save` wrote, to the CPU; no weights file is needed."""
    tensors, config = load_model(folder, MemoryBankConfig)
    detector = Detector(Bank(config, len(tensors["bank.cells_MC"])), config)
    detector.load_state_dict(tensors)
    return MemoryBankPredictor(with_layout(detector, config), config)


def read_bank(folder: Path, config: MemoryBankConfig) -> Bank:
    """The bank that the stage left, with all settings of ``config``."""
    tensors, _ = load_model(folder, MemoryBankConfig)
    bank = Bank(config, len(tensors["cells_MC"]))
    bank.load_state_dict(tensors)
    return bank
