"""Trained networks with the scales of their maps and scores; saved as safetensors and JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from trainables.contract import Prediction, StageMaps
from trainables.data.samples import ImageSet
from trainables.nn.batches.passes import image_passes, joined_stages
from trainables.nn.models import load_into
from trainables.nn.predictor import NetworkPredictor
from trainables.unsupervised.anogan import FAnoGan
from trainables.unsupervised.config import UnsupervisedConfig
from trainables.unsupervised.score import Saturation, image_score, measure_scales
from trainables.unsupervised.students import Students

__all__ = ["Detector", "UnsupervisedPredictor", "load"]


class Detector(nn.Module):
    """One of the two methods, and the scales of its map and score."""

    def __init__(self, networks: FAnoGan | Students, config: UnsupervisedConfig) -> None:
        super().__init__()
        self.config = config
        self.networks = networks
        self.map_scale = Saturation()
        self.score_scale = Saturation()

    @classmethod
    def of(cls, config: UnsupervisedConfig) -> Detector:
        """Build the method that a config names with arbitrary weights, for saved ones to be read into."""
        return cls(FAnoGan(config) if config.model == "f_anogan" else Students(config), config)

    def forward(self, images_BCHW: Tensor) -> Prediction:
        """Scores and maps in [0, 1]."""
        return self.scored(self.networks.anomaly(images_BCHW))

    def predict_stages(self, images_BCHW: Tensor) -> StageMaps:
        """The same with what led to it, but for the map itself."""
        map_BHW, stages = self.networks.predict_stages(images_BCHW)
        return StageMaps(self.scored(map_BHW), stages)

    def scored(self, map_BHW: Tensor) -> Prediction:
        """Scores and maps in [0, 1] of the networks' ``anomaly``."""
        score = image_score(map_BHW, self.config.score_pool, normalised=self.config.score_norm)
        return Prediction(self.score_scale(score.score_B), self.map_scale(map_BHW))

    @torch.no_grad()
    def measure(self, images: ImageSet) -> int:
        """Take all statistics and scales from held-out normal images.

        Returns:
            How many of them have a map whose mean is so low that the score's denominator was clamped.
        """
        device = self.map_scale.centre.device
        if isinstance(self.networks, Students):
            self.networks.measure(images)
        # One walk over the images: the scales take what passes by, and the clamped ones are counted beside.
        clamped = 0

        def anomalies() -> Iterator[tuple[Tensor, Tensor]]:
            nonlocal clamped
            for batch in image_passes(images, range(len(images)), device, self.config.pass_cost):
                map_BHW = self.networks.anomaly(batch)
                score = image_score(map_BHW, self.config.score_pool, normalised=self.config.score_norm)
                clamped += int(score.clamped_B.sum())
                yield map_BHW, score.score_B

        measure_scales(self.map_scale, self.score_scale, anomalies())
        return clamped


class UnsupervisedPredictor(NetworkPredictor[Detector, UnsupervisedConfig]):
    """Scores images by how far they are from normal ones."""

    def predict_pass(self, images: Tensor) -> Prediction:
        return self.network(images)

    @torch.no_grad()
    def predict_stages(self, images: Tensor, known: Collection[str] = ()) -> StageMaps:
        """The answer, and what led to the map ``anomaly``, its heatmap.

        f-AnoGAN: the picture ``reconstruction`` and the map ``residual``, pixel by pixel. Students: the maps
        ``error p`` and ``variance p`` of each scale p. All of that is left out if it is ``known``.
        """
        if set(self.config.step_names) <= set(known):
            prediction = self.predict(images)
            return StageMaps(prediction, {"anomaly": prediction.heatmap})
        # The heatmap is the last stage, so it is not computed again.
        parts = [self.network.predict_stages(part) for part in self.passes(images)]
        prediction, stages = joined_stages(parts)
        return StageMaps(prediction, {**stages, "anomaly": prediction.heatmap})


def load(folder: Path) -> UnsupervisedPredictor:
    """Read what :meth:`UnsupervisedPredictor.save` wrote, to the CPU; no weights file is needed."""
    return UnsupervisedPredictor(*load_into(folder, UnsupervisedConfig, Detector.of))
