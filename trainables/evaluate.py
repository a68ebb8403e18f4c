"""The one evaluation loop: thresholds from validation, every score from test."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.contract import Predictor
from trainables.data.samples import ImageSet
from trainables.data.tensors import images_to_tensor

__all__ = ["image_scores"]


def image_scores(
    predictor: Predictor, images: ImageSet, device: torch.device, batch: int
) -> NDArray[np.float64]:
    """Score of every image in ``images``, in its order, in [0, 1].

    Raises:
        FloatingPointError: If a score is not a number in [0, 1]: the model has diverged.
    """
    scores = np.empty(len(images), dtype=np.float64)
    for start, scores_B, _ in _predict(predictor, images, device, batch):
        scores[start : start + len(scores_B)] = scores_B
    return scores


def _predict(
    predictor: Predictor, images: ImageSet, device: torch.device, batch: int
) -> Iterator[tuple[int, NDArray[np.float64], torch.Tensor]]:
    """Index of the first image, scores and heatmaps of each batch."""
    for start in range(0, len(images), batch):
        ids = images.ids[start : start + batch]
        with torch.inference_mode():
            prediction = predictor.predict(images_to_tensor([images.images[i] for i in ids], device))
            scores_B = prediction.score.double().cpu().numpy()
        if not np.all((scores_B >= 0) & (scores_B <= 1)):
            worst = ids[int(np.argmin((scores_B >= 0) & (scores_B <= 1)))]
            raise FloatingPointError(
                f"the score of {worst} is not a number in [0, 1]: the model has diverged"
            )
        yield start, scores_B, prediction.heatmap
