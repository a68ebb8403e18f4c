"""The worth of every stage of a model: its maps against masks, baseline maps beside them, and pictures to
look at.

A predictor of several stages shows them (:class:`~trainables.contract.ShowsStages`). The evaluation hands
those of each batch of test images to a :class:`StageMapScores`. Stages are decided at 0.5: thresholds are
chosen for a model's last map only. In the same pass the baseline maps of :mod:`trainables.nn.cam.activation`
are measured on the same images, since a stage that does not rise above them has not learned where defects
are.

Trade-off: scores are binned (``metrics.histogram``), so that a dozen maps of every test image
need no more memory than a dozen maps of one batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, Field, FiniteFloat

from trainables.contract import seed_for
from trainables.evaluation.heatmaps import display_size
from trainables.evaluation.metrics.histogram import PixelHistogram
from trainables.evaluation.scorer import refuse_outside

__all__ = ["CAM", "PIXELS_AT_ONCE", "STAGE_MAPS_SCHEMA", "StageMapScores", "StageScores"]

PIXELS_AT_ONCE = 4 * 512 * 512  # of images whose stages are held
CAM = "cam"  # the map that a baseline map multiplies with the blur residual

STAGE_MAPS_SCHEMA = pa.schema(
    [
        pa.field("sample", pa.string(), nullable=False),
        pa.field("order", pa.int16(), nullable=False),  # of the stage in its chain, from 0
        pa.field("stage", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # map (0 black, 255 a score of 1) or picture
        pa.field("png", pa.binary(), nullable=False),  # at display size; grey, or BGR for a picture in colour
    ]
)


class StageScores(BaseModel, frozen=True, extra="forbid"):
    """Scores of one stage of a model, or of a baseline map that it must rise above."""

    stage: str = Field(description="`cam`, `pseudo`; of a baseline map `random`.")
    of: Literal["test", "train", "floor"] = Field(
        description="Maps of test images, pseudo labels of training images, or a baseline map on test images."
    )
    metrics: dict[str, FiniteFloat] = Field(description="Those that read masks, decided at 0.5.")


class StageMapScores:
    """Stages of a model and baseline maps on a set of images, collected batch by batch."""

    def __init__(self, seed: int, known: Collection[str] = ()) -> None:
        """``seed``: that of the repeat; the random map depends on it and on the order of images only.

        ``known``: stages that are left out, since others have shown them of the same images. Where the CAM is
        among them, so are the baseline maps.
        """
        self.known = known
        self.names: tuple[str, ...] = ()  # of the stages that were shown, in the chain's order
        self._rng = np.random.default_rng(seed_for(seed, None, "random floor"))
        self._pixels: dict[tuple[Literal["test", "floor"], str], PixelHistogram] = {}
        self._rows: list[dict[str, Any]] = []

    def add(
        self,
        images: Sequence[NDArray[np.uint8]],
        stages: Mapping[str, NDArray[np.float32]],
        samples: Sequence[str],
        truths: Sequence[NDArray[np.bool_] | None],
        kept: Sequence[bool],
        *,
        ignored: Sequence[NDArray[np.bool_] | None],
    ) -> None:
        """Take in a batch.

        Args:
            images: H × W × C each, of one size.
            stages: The model's stages of them.
            samples: Their ids.
            truths: H × W each; None where the mask of a defective image is unknown.
            kept: Which of them leave pictures.
            ignored: Pixels of each to leave out, H × W; None where all count.

        Raises:
            FloatingPointError: If a value of a map or picture is no finite number: the model has diverged.
            InputError: If one is not within [0, 1].
        """
        # Maps are measured and shown; pictures, such as crops, are only shown.
        shown = {stage: values for stage, values in stages.items() if stage not in self.known}
        maps = {stage: values for stage, values in shown.items() if values.ndim == 3}
        baselines = {} if CAM in self.known else _baseline_maps(images, maps, self._rng)
        self.names = tuple(shown)
        for stage, values in shown.items():
            _refuse_odd(stage, values, images, samples)
        for stage, values in maps.items():
            self._score("test", stage, values, truths, ignored)
        for name, values in baselines.items():
            self._score("floor", name, values, truths, ignored)

        # Pictures of the probe images alone are kept, in the order of the chain.
        for k, sample in enumerate(samples):
            if kept[k]:
                self._rows += [
                    {
                        "sample": sample,
                        "order": order,
                        "stage": stage,
                        "kind": "map" if stage in maps else "picture",
                        "png": _png(values[k]),
                    }
                    for order, (stage, values) in enumerate(shown.items())
                ]

    def scores(self) -> tuple[StageScores, ...]:
        """The stages in the order of the chain, then the baseline maps; nothing where no mask is known."""
        scores = [
            StageScores(stage=name, of=of, metrics=pixels.metrics())
            for (of, name), pixels in self._pixels.items()
        ]
        # Sorting is stable, so the stages keep the order of the chain.
        measured = [score for score in scores if score.metrics]
        return tuple(sorted(measured, key=lambda score: score.of == "floor"))

    def table(self) -> pa.Table:
        """The pictures, as a table of ``STAGE_MAPS_SCHEMA``."""
        return pa.Table.from_pylist(self._rows, schema=STAGE_MAPS_SCHEMA)

    def _score(
        self,
        of: Literal["test", "floor"],
        name: str,
        maps: NDArray[np.float32],
        truths: Sequence[NDArray[np.bool_] | None],
        ignored: Sequence[NDArray[np.bool_] | None],
    ) -> None:
        pixels = self._pixels.setdefault((of, name), PixelHistogram())
        # Images whose mask is unknown say nothing of a map; the others of the batch still count.
        known = [
            (truth, np.zeros_like(truth) if other is None else other)
            for truth, other in zip(truths, ignored, strict=True)
            if truth is not None
        ]
        if known:
            of_known = maps[[truth is not None for truth in truths]]
            pixels.add(of_known, np.stack([truth for truth, _ in known]), np.stack([o for _, o in known]))


def _baseline_maps(
    images: Sequence[NDArray[np.uint8]], maps: Mapping[str, NDArray[np.float32]], rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Maps that no training makes, on the same images, and a CAM times what needs no training."""
    import torch

    from trainables.data.tensors import images_to_tensor
    from trainables.nn.cam.activation import blur_residual, centre_prior, map_times_residual, random_maps

    # What a reader must compare with: chance, the middle of the image, and plain contrast, none of which
    # learned anything.
    count, size = len(images), images[0].shape[:2]
    residual = blur_residual(images_to_tensor(images, torch.device("cpu")))
    baselines = {
        "random": random_maps(count, size, rng),
        "centre prior": centre_prior(count, size),
        "blur residual": residual,
    }
    if CAM in maps:
        baselines[f"{CAM} × blur residual"] = map_times_residual(torch.from_numpy(maps[CAM]), residual)
    return {name: baseline.numpy() for name, baseline in baselines.items()}


def _refuse_odd(
    stage: str, values: NDArray[np.float32], images: Sequence[NDArray[np.uint8]], samples: Sequence[str]
) -> None:
    count, (height, width) = len(images), images[0].shape[:2]
    is_map = values.shape == (count, height, width)
    is_picture = values.ndim == 4 and len(values) == count and values.shape[1] in (1, 3)
    assert is_map or is_picture, f"stage {stage} of shape {values.shape} for {count} × {height} × {width}"
    for sample, shown in zip(samples, values, strict=True):
        refuse_outside(f"stage {stage}", sample, shown, "predict_stages")


def _png(values: NDArray[np.float32]) -> bytes:
    """A map (h × w) or picture (c × h × w) at display size, 8 bits."""
    # Areas are averaged: a map that is shrunk by picking pixels would lose thin defects.
    picture = values if values.ndim == 2 else np.moveaxis(values, 0, 2)
    height, width = display_size(*picture.shape[:2])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    written, data = cv2.imencode(".png", np.rint(255 * small).astype(np.uint8))
    assert written, "a uint8 picture of 1 or 3 channels can be written as PNG"
    return data.tobytes()
