"""A predictor of this process, asked for its answers as the evaluation asks for those of any model."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.contract import MeasuresErasure, Prediction, Predictor, SeesStored, ShowsStages, StageMaps
from trainables.data.tensors import images_to_tensor
from trainables.errors import InputError
from trainables.evaluation.latency import reference_seconds
from trainables.evaluation.scorer import IMAGES_AT_ONCE, Scores
from trainables.nn.batches.passes import in_halves, joined_stages
from trainables.nn.evaluation_mode import set_evaluation_mode

__all__ = ["ModelScorer"]


class ModelScorer:
    """A predictor of this process as an :class:`~trainables.evaluation.scorer.ImageScorer`."""

    def __init__(self, predictor: Predictor, device: torch.device) -> None:
        """``predictor`` lies on ``device``; its networks stay in evaluation mode from here on."""
        set_evaluation_mode(predictor)
        self.device = device
        self._predictor = predictor

    @property
    def shows_stages(self) -> bool:
        return isinstance(self._predictor, ShowsStages)

    @property
    def measures_erasure(self) -> bool:
        return isinstance(self._predictor, MeasuresErasure)

    @property
    def images_at_once(self) -> int:
        return int(getattr(self._predictor, "images_at_once", IMAGES_AT_ONCE))

    def score(self, images: Sequence[NDArray[np.uint8]], known: Collection[str] | None = None) -> Scores:
        # The clock stops when the numbers are on the host: on a GPU that is when the work is done. Stages
        # are copied after it.
        start = time.perf_counter()
        if isinstance(self._predictor, SeesStored) and self._predictor.sees_stored:
            stored = self._predictor.predict_stored(images)
            scores, heatmaps = stored.score.double().cpu().numpy(), stored.heatmap.cpu().numpy()
            return Scores(scores, heatmaps, {}, time.perf_counter() - start)
        parts = in_halves(lambda part: self._ask(part, known), images_to_tensor(images, self.device))
        prediction, stages = parts[0] if len(parts) == 1 else joined_stages(parts)
        scores = prediction.score.detach().double().cpu().numpy()
        heatmaps = prediction.heatmap.detach().float().cpu().numpy()
        seconds = time.perf_counter() - start
        shown = {name: values.detach().float().cpu().numpy() for name, values in stages.items()}
        return Scores(scores, heatmaps, shown, seconds)

    def erasure_drops(self, images: Sequence[NDArray[np.uint8]]) -> list[float]:
        assert isinstance(self._predictor, MeasuresErasure), "asked of models that measure it"
        with torch.no_grad():
            drops = in_halves(self._predictor.erasure_drops, images_to_tensor(images, self.device))
        return torch.cat(drops).tolist()

    def reference_seconds(self) -> float:
        return reference_seconds(self.device)

    def _ask(self, images_BCHW: Tensor, known: Collection[str] | None) -> StageMaps:
        if known is None:
            with torch.inference_mode():
                prediction = self._predictor.predict(images_BCHW)
            return StageMaps(_checked(prediction, "predict", images_BCHW), {})
        assert isinstance(self._predictor, ShowsStages), "stages are asked of models that show them"
        with torch.no_grad():
            maps = self._predictor.predict_stages(images_BCHW, known)
        return maps._replace(prediction=_checked(maps.prediction, "predict_stages", images_BCHW))


def _checked(prediction: object, hook: str, images_BCHW: Tensor) -> Prediction:
    """The answer of a predictor.

    Raises:
        InputError: If it is none that the contract knows.
    """
    way_out = f"Mend the method's `{hook}`."
    if not isinstance(prediction, Prediction):
        kind = type(prediction).__name__
        raise InputError(
            f"a predictor's `{hook}` returns trainables.contract.Prediction(score, heatmap), found "
            f"{'None' if prediction is None else f'a {kind}'}. {way_out}"
        )

    # Shapes are checked at this border, because a wrong one would broadcast later and give wrong counts
    # without an error.
    count, _, height, width = images_BCHW.shape
    for field, shape in (("score", (count,)), ("heatmap", (count, height, width))):
        values: object = getattr(prediction, field)
        kind = f"a {type(values).__name__}"
        if isinstance(values, Tensor):
            if tuple(values.shape) == shape and not values.is_complex():
                continue
            kind = f"one of shape {tuple(values.shape)}, {str(values.dtype).removeprefix('torch.')}"
        raise InputError(
            f"the {field} of a predictor's `{hook}` is a tensor of real numbers, of shape {shape} for "
            f"{count} images of {height} × {width} pixels, found {kind}. {way_out}"
        )
    return prediction
