"""Answers of a trained model to a batch of images: what the evaluation asks for, wherever the model is.

The evaluation holds masks, the model never does. So a model may live in another process, which is given
images and returns numbers (the engine does that): it is an :class:`ImageScorer` there too. What asks needs no
torch: one in this process is a :class:`trainables.evaluation.model_scorer.ModelScorer`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, FiniteFloat

from trainables.data.threshold import Escapes, FalseAlarms, threshold_text
from trainables.data.tiles import TileShape
from trainables.errors import InputError

__all__ = [
    "IMAGES_AT_ONCE",
    "ImageScorer",
    "KeptPromise",
    "Scores",
    "Thresholds",
    "TiledScorer",
    "refuse_outside",
]

IMAGES_AT_ONCE = 16  # in one prediction, where a predictor does not ask for more


class Scores(NamedTuple):
    """Answer to a batch of B images of H × W pixels."""

    scores: NDArray[np.float64]  # B
    heatmaps: NDArray[np.float32]  # B × H × W
    stages: Mapping[str, NDArray[np.float32]]  # of a model that shows them, where they were asked for
    seconds: float  # that the answer took, from bytes on the host to numbers on the host


class KeptPromise(BaseModel, frozen=True, extra="forbid"):
    """What the image threshold promises of new parts, and the parts that it rests on."""

    rule: FalseAlarms | Escapes
    wrong: int = Field(ge=0, description="Parts of the promised kind that it decides wrongly.")
    parts: int = Field(ge=1, description="Parts of that kind that chose it.")
    source: Literal["validation", "calibration", "recalibration"]

    def __str__(self) -> str:
        kind = "good" if isinstance(self.rule, FalseAlarms) else "defective"
        return (
            f"{threshold_text(self.rule)}, among new parts like the {self.parts} {kind} ones of "
            f"{self.source} that chose it ({self.wrong} of them decided wrongly)"
        )


class Thresholds(BaseModel, frozen=True, extra="forbid"):
    """Thresholds of decisions, and what chose them. A score ≥ threshold is defective."""

    image: FiniteFloat
    image_source: str
    pixel: FiniteFloat = Field(description="Representable as float32, the type of heatmaps.")
    pixel_source: str
    promise: KeptPromise | None = Field(default=None, description="Of the image threshold; null: none.")


def refuse_outside(what: str, sample: str, values: NDArray[np.floating[Any]], hook: str) -> None:
    """Refuse what a predictor says of an image where it is not within [0, 1].

    Raises:
        FloatingPointError: If it is no finite number: the model has diverged.
        InputError: If it is a number beyond, as of a ``hook`` that forgets to bound them.
    """
    # NaN is the least and the greatest of the values among which it stands.
    outside = [float(value) for value in (values.max(), values.min()) if not 0 <= value <= 1]
    if not outside:
        return
    value = min(outside, key=np.isfinite)
    if not np.isfinite(value):
        raise FloatingPointError(
            f"{what} of {sample} is not within [0, 1], found {value:g}: the model diverged"
        )
    raise InputError(
        f"{what} of an image is within [0, 1], found {value:g} for {sample}. Mend the method's `{hook}`."
    )


class ImageScorer(Protocol):
    """A trained model that is given images and returns numbers."""

    @property
    def shows_stages(self) -> bool:
        """True where it can show the stages on the way to its answer."""
        ...

    @property
    def measures_erasure(self) -> bool:
        """True where it can paint over what it shows and look again."""
        ...

    @property
    def images_at_once(self) -> int:
        """Images in one prediction: more where each call costs the start of a program."""
        ...

    def score(self, images: Sequence[NDArray[np.uint8]], known: Collection[str] | None = None) -> Scores:
        """Score images of one size (H × W × C each); stages but those ``known``, none of them if None."""
        ...

    def erasure_drops(self, images: Sequence[NDArray[np.uint8]]) -> list[float]:
        """Falls of p(defect) when what the model shows in an image is painted over, in [−1, 1] each."""
        ...

    def reference_seconds(self) -> float:
        """Time one pass of the reference network, where the model is and on its device."""
        ...


class TiledScorer:
    """A model that sees tiles, as an :class:`ImageScorer` of whole images at the network's scale.

    An image's score is the greatest of its tiles. Stages are not shown and no defect is painted over: both
    are about one input of the network.
    """

    shows_stages = measures_erasure = False

    def __init__(self, model: ImageScorer, tiles: TileShape, batch: int) -> None:
        """``batch``: tiles in one prediction."""
        self._model, self._tiles, self._batch = model, tiles, batch

    @property
    def images_at_once(self) -> int:
        return 1

    def score(self, images: Sequence[NDArray[np.uint8]], known: Collection[str] | None = None) -> Scores:
        assert known is None, "no stages of tiles are shown"
        parts = [self._score(image) for image in images]
        return Scores(
            np.array([score for score, _, _ in parts]),
            np.stack([heatmap for _, heatmap, _ in parts]) if len(parts) > 1 else parts[0][1][None],
            {},
            sum(seconds for _, _, seconds in parts),
        )

    def erasure_drops(self, images: Sequence[NDArray[np.uint8]]) -> list[float]:
        raise AssertionError(f"asked of models that measure it, found {len(images)} images in tiles")

    def reference_seconds(self) -> float:
        return self._model.reference_seconds()

    def _score(self, image: NDArray[np.uint8]) -> tuple[float, NDArray[np.float32], float]:
        """Score, heatmap and seconds of one image; a tile whose score is no number leaves none."""
        heatmap = np.empty(image.shape[:2], np.float32)
        score, seconds = -np.inf, 0.0
        # Of each tile only its core is written: at its rim a network sees too little, and the neighbour
        # covers that better.
        tiles = self._tiles.cut(image)
        while batch := list(islice(tiles, self._batch)):
            answer = self._model.score([tile for _, tile in batch])
            score = float(np.maximum(score, answer.scores.max()))  # NaN stays
            seconds += answer.seconds
            for (place, _), tile_map in zip(batch, answer.heatmaps, strict=True):
                heatmap[place.core] = tile_map[place.inner]
        return score, heatmap, seconds
