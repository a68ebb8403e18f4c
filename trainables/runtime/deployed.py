"""A trained model as it is shipped: predictor, preprocessing and thresholds, from one folder.

::

    model = load_deployed(folder)                         # model.safetensors, config.json, card.json
    decision = model.decide([model.prepare(image)])       # uint8 H × W × C of any size → score, decision, …

This module is also the loader of exported MLflow models (``loader_module: trainables.runtime.deployed``):
they carry ``trainables`` with them and run without the platform, ray or mlflow's own file formats.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from trainables.contract import Predictor, SeesStored
from trainables.data.files.sources import resize_image
from trainables.data.spec import Tiles
from trainables.data.tiles import TileShape
from trainables.errors import InputError
from trainables.evaluation.model_scorer import ModelScorer
from trainables.evaluation.scorer import ImageScorer, Thresholds, TiledScorer
from trainables.nn.evaluation_mode import set_evaluation_mode
from trainables.plugins.catalogue import find_trainable
from trainables.plugins.method_files import MethodSource, is_file_method, load_source

__all__ = [
    "CARD_FILE",
    "METHOD_FOLDER",
    "Card",
    "Decision",
    "DeployedModel",
    "default_device",
    "enlarge_mask",
    "load_deployed",
    "read_card",
]

CARD_FILE = "card.json"
CARD_FORMAT = 1  # of an exported model: raised when its files say something else
METHOD_FOLDER = "method"  # the code of a method that is a file, as the storage kept it
_BATCH = 16  # images in one prediction of the MLflow model


class _Stated(BaseModel, frozen=True):
    """The part of a card that every format has."""

    format: int | None = None


class Card(BaseModel, frozen=True, extra="forbid"):
    """Facts that the use of a trained model needs: written beside its weights."""

    format: int = Field(
        default=CARD_FORMAT, description="Of the exported model; another version may have another."
    )
    trial: str
    study: str
    cell: str
    trainable: str
    revision: int = Field(description="Of the trainable, when the model was trained.")
    image_size: tuple[int, int] = Field(description="The network's input height and width, pixels.")
    channels: Literal[1, 3] = Field(description="1: grey, 3: colour (BGR, as OpenCV reads it).")
    precision: Literal["float32", "bfloat16"] = Field(description="Arithmetic in which it was trained.")
    thresholds: Thresholds
    trained_threshold: float | None = Field(
        None, description="The image threshold that the trial chose, where a later one took its place."
    )
    recalibrated: datetime | None = Field(
        None, description="When good parts set the image threshold anew, UTC; null: it is the trial's."
    )
    metrics: dict[str, float] = Field(description="On the study's test images, at the trial's thresholds.")
    test_errors: dict[str, tuple[int, int]] = Field(
        default_factory=dict,
        description="`false alarms`, `escapes`: wrong decisions on the study's test parts of that kind, and "
        "how many of it there are. Empty: not known at this threshold.",
    )
    versions: dict[str, str] = Field(description="Packages that it was trained with.")
    imports: dict[str, str] = Field(
        default_factory=dict, description="Those among them that the method's own files import."
    )
    item: str | None = Field(None, description="Pattern of file names that says which part a photo shows.")
    white: float = Field(255, gt=0, description="Pixel value that is white in images of more than 8 bits.")
    tiles: Tiles | None = Field(None, description="That large images are cut into; each fills image_size.")

    @property
    def tile_shape(self) -> TileShape | None:
        """The tiles at the network's scale."""
        return None if self.tiles is None else TileShape(self.tiles, *self.image_size)


class Decision(NamedTuple):
    """Scores and decisions of a batch. B images, H × W pixels of the network's input.

    Of images in tiles H × W are all their pixels at the network's scale.
    """

    score: NDArray[np.float64]  # B, in [0, 1]
    decision: NDArray[np.bool_]  # B, True: defective
    heatmap: NDArray[np.float32]  # B × H × W, in [0, 1]
    mask: NDArray[np.bool_]  # B × H × W, True: defect


@dataclass(frozen=True, eq=False)
class DeployedModel:
    """A predictor with the preprocessing and the thresholds that belong to it."""

    predictor: Predictor
    card: Card
    device: torch.device

    def __post_init__(self) -> None:
        set_evaluation_mode(self.predictor)  # exports trace it without a word to its scorer

    @property
    def sees_stored(self) -> bool:
        """True where it is given images as stored, with their bits and at their size."""
        return isinstance(self.predictor, SeesStored) and self.predictor.sees_stored

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``image`` (H × W × C) at the network's input size or, in tiles, scale: resized as in training.

        For a model that sees images as stored it stays as it is.
        """
        if self.sees_stored:
            return image
        tiles = self.card.tile_shape
        return resize_image(image, self.card.image_size) if tiles is None else tiles.shrink(image)

    def twin(self) -> DeployedModel:
        """The same model for another thread: some predictors change themselves while they predict."""
        return replace(self, predictor=copy.deepcopy(self.predictor))

    def decide(self, images: Sequence[NDArray[np.uint8]]) -> Decision:
        """Score and decide prepared images: uint8, all of one size; as stored they may differ in both."""
        answer = self._scorer.score(images)
        score, heatmap = answer.scores, answer.heatmaps
        thresholds = self.card.thresholds
        return Decision(score, score >= thresholds.image, heatmap, heatmap >= np.float32(thresholds.pixel))

    @cached_property
    def _scorer(self) -> ImageScorer:
        model, tiles = ModelScorer(self.predictor, self.device), self.card.tile_shape
        return model if tiles is None else TiledScorer(model, tiles, _BATCH)


def default_device() -> torch.device:
    """The first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def read_card(text: str, place: Path) -> Card:
    """The card of an exported model that lies at ``place``.

    Raises:
        InputError: If the model has another format.
        ValidationError: If the text is no card.
    """
    stated = _Stated.model_validate_json(text).format
    if stated != CARD_FORMAT:
        raise InputError(
            f"this version of assay reads exported models of format {CARD_FORMAT}, found "
            f"{'none' if stated is None else f'format {stated}'} stated in {place}. Use the version of assay "
            "that wrote it, or export the trial again."
        )
    return Card.model_validate_json(text)


def load_deployed(folder: Path, device: torch.device | None = None) -> DeployedModel:
    """Read a model and its card; ``device`` None: the first GPU if there is one, else the CPU.

    Raises:
        InputError: If the model has another format, the method that trained it is not installed, or its code
            is not the one that trained.
    """
    card = read_card((folder / CARD_FILE).read_text(encoding="utf-8"), folder)
    where = device or default_device()
    if is_file_method(card.trainable):
        (code,) = (folder / METHOD_FOLDER).iterdir()
        load_source(card.trainable, MethodSource.read(code))
    predictor = find_trainable(card.trainable).load(folder).to(where)
    return DeployedModel(predictor, card, where)


def enlarge_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask at ``size`` (height, width), 0 or 1. Decided first: blended scores would give other edges."""
    height, width = size
    large = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(large, np.uint8)


class PyfuncModel:
    """The object that ``mlflow.pyfunc`` calls."""

    def __init__(self, model: DeployedModel) -> None:
        self.model = model

    def predict(self, model_input: NDArray[np.uint8], params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Decide a batch of images of one size, whatever it is.

        Args:
            model_input: uint8, N × H × W (grey) or N × H × W × C (C: the model's channels; 3 is BGR).
            params: None; part of MLflow's interface.

        Returns:
            ``score`` (N, float64), ``decision`` (N, bool), ``heatmap`` (N × the network's input size,
            float32), and ``mask`` (N × H × W at the images' own size, uint8: 0 or 1).

        Raises:
            InputError: If the array has another type or shape.
        """
        images = self._images(np.asarray(model_input))
        parts = [self._decide(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _decide(self, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        decision = self.model.decide([self.model.prepare(image) for image in images])
        size = (images.shape[1], images.shape[2])
        masks = np.stack([enlarge_mask(mask, size) for mask in decision.mask])
        return {**decision._asdict(), "mask": masks}

    def _images(self, array: NDArray[Any]) -> NDArray[np.uint8]:
        channels = self.model.card.channels
        images = array[..., None] if array.ndim == 3 and channels == 1 else array
        if array.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != channels or not images.size:
            shape = "N × H × W" if channels == 1 else "N × H × W × 3 (BGR)"
            raise InputError(
                f"images are one uint8 array, {shape}, found {array.dtype} of shape {array.shape}. "
                "Convert them, or pass them one by one if their sizes differ."
            )
        return images


def _load_pyfunc(data_path: str) -> PyfuncModel:  # pyright: ignore[reportUnusedFunction] - MLflow calls it
    """Entry point of MLflow's ``loader_module``."""
    return PyfuncModel(load_deployed(Path(data_path)))
