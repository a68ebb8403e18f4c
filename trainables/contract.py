"""The contract of a method, its promises and what it may ask for: ``Trainable``, ``Run``, ``Predictor``.

A method is a folder ``trainables/<name>/`` whose ``TRAINABLE`` is a :class:`Trainable`. Its ``fit`` sees
training and validation images only (never test images, never a mask outside the supervision), and asks
its surroundings for everything else through ``run``: the same ``fit`` works in a notebook with
:class:`LocalRun` and on a Ray cluster with the engine's run.

Trade-off: ``Run`` is a handful of plain methods instead of a training framework. The loop over epochs that
methods share (:mod:`trainables.nn.training.loop`) is a page long, and a method may write its own. Nothing
here imports torch before something is trained: studies are read, shown and reported without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    Protocol,
    Self,
    TypeVar,
    runtime_checkable,
)

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, field_validator

from trainables.data.samples import TrainingData
from trainables.data.seeds import seed_for
from trainables.data.spec import DataSpec, Supervision
from trainables.run import Checkpoint, LocalRun, Run, Stage, TrainingCutError, refuse_small_batch, shard

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "MASKS_ALONE",
    "Checkpoint",
    "Grid",
    "LocalRun",
    "MaskTarget",
    "MeasuresErasure",
    "Objection",
    "Prediction",
    "Predictor",
    "Run",
    "SeesStored",
    "ShowsStages",
    "StageMaps",
    "Trainable",
    "TrainableConfig",
    "TrainingCutError",
    "refuse_small_batch",
    "seed_for",
    "shard",
]

ConfigT = TypeVar("ConfigT", bound="TrainableConfig")


class TrainableConfig(BaseModel, frozen=True, extra="forbid"):
    """Settings that every method has. A method's ``Config`` extends it with its own.

    Every field has bounds and a one-line description with unit and source: the schema of the study file,
    the plan's diff and the pages are made from them.
    """

    # Settings that a method got after its results were stored: at their defaults they change no id.
    added_later: ClassVar[frozenset[str]] = frozenset()
    # Settings that say where something lies whose hash is a setting beside it: no part of an id. Of a setting
    # that is a block, `block.setting`.
    locations: ClassVar[frozenset[str]] = frozenset()

    image_size: tuple[int, int] = Field(description="Input height and width, 8 to 16384 pixels each.")
    channels: Literal[1, 3] = Field(1, description="1: grey, 3: colour (BGR, as OpenCV reads it).")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic of the forward pass; auto: bfloat16 on a GPU, else float32."
    )
    memory_format: Literal["auto", "contiguous", "channels_last"] = Field(
        "auto", description="Layout of image tensors; auto: what is faster on the study's device."
    )

    @field_validator("image_size", mode="before")
    @classmethod
    def _sides_are_pixels(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)) and len(value) == 2:
            for side in value:
                if isinstance(side, int) and not 8 <= side <= 16384:
                    raise ValueError(f"a side of image_size is 8..16384 pixels, found {side}")
            return tuple(value)
        return value

    @property
    def pass_cost(self) -> float:
        """Memory that a pixel takes in the network, in units of
        :func:`trainables.nn.batches.passes.in_passes`."""
        return 1.0

    def resolved(self, device: str) -> Self:
        """The config with every ``auto`` decided for a type of device (`cuda`, `cpu`); called once per study.

        channels_last is also the faster layout on a CPU while networks are narrow, since oneDNN's blocks of
        channels stay half empty otherwise (``python -m benchmarks.other_ways layout``). Wide networks
        override it.
        """
        precision = self.precision
        if precision == "auto":
            precision = "bfloat16" if device == "cuda" else "float32"
        layout = "channels_last" if self.memory_format == "auto" else self.memory_format
        return self.model_copy(update={"precision": precision, "memory_format": layout})

    def identity(self) -> dict[str, Any]:
        """The settings that decide a result, as JSON values: a trial's id is a hash over them."""
        return self.identity_of(self.model_dump(mode="json"))

    @classmethod
    def identity_of(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The same of settings as JSON values, as a point of a search keeps them."""
        return cls.without_added_later(cls.without_locations(settings))

    @classmethod
    def without_locations(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """These settings without ``locations``."""
        kept = {name: settings[name] for name in settings if name not in cls.locations}
        for block, _, name in (place.partition(".") for place in cls.locations):
            if name and isinstance(kept.get(block), dict):
                kept[block] = {key: value for key, value in kept[block].items() if key != name}
        return kept

    @classmethod
    def without_added_later(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """These settings without those ``added_later`` that are at their defaults."""
        fields, added_later = cls.model_fields, cls.added_later
        kept = [
            name for name in settings if name not in added_later or settings[name] != fields[name].default
        ]
        return {name: settings[name] for name in kept}

    def part(self, *prefixes: str, names: tuple[str, ...] = ()) -> dict[str, Any]:
        """The settings that start with a prefix or have a name, as JSON values: what a stage depends on."""
        settings = self.model_dump(mode="json")
        return {name: settings[name] for name in settings if name.startswith(prefixes) or name in names}


class Prediction(NamedTuple):
    """Scores and heatmaps of a batch. B images, H × W pixels of the network's input."""

    score: Tensor  # B, in [0, 1]: higher is more likely defective; float64 keeps confident scores apart
    heatmap: Tensor  # B × H × W, in [0, 1]: higher is more likely a defect pixel


class Predictor(Protocol):
    """A trained model, ready to predict.

    Whoever asks it puts its networks into evaluation mode before: every ``torch.nn.Module`` in its attributes
    and in those of the objects there, in lists, tuples, sets, mappings, partial functions, bound methods and
    what functions enclose. An image's score and heatmap depend neither on the images beside it nor on what
    was asked before: a trial asks a few images in a batch, again, and alone, and fails where they differ.

    One thread at a time asks it. `assay predict` asks a copy (``copy.deepcopy``) beside it.
    """

    def predict(self, images: Tensor) -> Prediction:
        """Score ``images`` (B × C × H × W, float32 in [0, 1], on the predictor's device).

        Exports trace it (torch.export, any B): it decides nothing in Python on values or on B, except under
        ``torch.compiler.is_exporting()``.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json`` into an existing folder (never a pickle).

        If ``config.json`` has a ``precision``, it is :class:`TrainableConfig`'s; exports set it to float32.
        """
        ...

    def to(self, device: torch.device) -> Self:
        """The same predictor with its weights on ``device``."""
        ...


@runtime_checkable
class SeesStored(Protocol):
    """A predictor that may be trained on images as stored, and is then given such."""

    @property
    def sees_stored(self) -> bool: ...

    def predict_stored(self, images: Sequence[NDArray[Any]]) -> Prediction:
        """Score images (H × W × C each, uint8 or uint16, any sizes); heatmaps are of ``image_size``."""
        ...


class StageMaps(NamedTuple):
    """A prediction, and the stages that led to it."""

    prediction: Prediction  # that of ``predict``
    # By name, in the chain's order. Maps, B × H × W in [0, 1], are evaluated against masks. Pictures,
    # B × c × h × w in [0, 1] (c as the images' or 1), are looked at only.
    stages: Mapping[str, Tensor]


@runtime_checkable
class ShowsStages(Protocol):
    """A predictor that can show the stages on the way to its answer."""

    def predict_stages(self, images: Tensor, known: Collection[str] = ()) -> StageMaps:
        """``predict``'s answer to ``images`` with its stages, in one go: no network is asked twice.

        Every batch has the same stages. Those in ``known`` may be left out: another trial has shown them
        (``Stage.shows``). Called under ``torch.no_grad``.
        """
        ...


@runtime_checkable
class MeasuresErasure(Protocol):
    """A predictor that can paint over what it shows and look again, for the metrics in
    ``LABEL_FREE_METRICS``."""

    def erasure_drops(self, images: Tensor) -> Tensor:
        """Falls of p(defect) in each image when the defect that its heatmap shows is painted over.

        ``images`` as those of ``predict``; B numbers in [−1, 1].
        """
        ...


MASKS_ALONE = (
    "Add some, or use `trainable: supervised` with `config: {model: unet, image_weight: 0}`, which learns "
    "from masks alone"
)


class Objection(NamedTuple):
    """Why a config cannot be trained as the study asks for it."""

    setting: str  # what it is about: `supervision`, `config.model`, `data.validation`
    message: str  # one sentence, and the way out


@dataclass(frozen=True)
class Grid:
    """Cells in which a method sees masks: what is below them it can neither learn nor outline."""

    stride: int = 1  # pixels of the network's input between cells
    window: int = 1  # side of the square that a cell of the mask loss averages, same pixels; 0: no such loss
    dilation: int = 1  # side of the square that masks are widened by before, pixels of the image as stored
    first: float = 0.0  # where heatmaps have the first cell, pixels of the network's input from the first one


class MaskTarget(NamedTuple):
    """The target of a mask loss for one image. h × w: cells of the net's mask output."""

    mask_hw: NDArray[np.float32]  # target, in [0, 1]
    weight_hw: NDArray[np.float32]  # of each cell's loss, 0 or more
    centre: float = 0.5  # of the first cell from the image's corner, in cells


@dataclass(frozen=True)
class Trainable(Generic[ConfigT]):
    """One method, as the platform sees it: ``trainables/<name>/__init__.py`` holds one as ``TRAINABLE``."""

    name: str
    revision: int  # raised when results change: it is part of every trial's id
    title: str
    Config: type[ConfigT]
    presets: Mapping[str, Mapping[str, Any]]  # published settings by name
    supervisions: frozenset[str]  # kinds of supervision it can use: none, weak, mixed, full
    fit: Callable[[ConfigT, TrainingData, Run], Predictor]
    load: Callable[[Path], Predictor]
    footnotes: Callable[[ConfigT], Sequence[str]] = field(default=lambda config: ())
    # Why a config cannot be trained with these labels and data; asked before anything is trained.
    objections: Callable[[ConfigT, Supervision, DataSpec], Sequence[Objection]] = field(
        default=lambda config, supervision, data: ()
    )
    # Steps that trials may share, in the order in which `fit` asks for them.
    stages: Callable[[ConfigT], Sequence[Stage]] = field(default=lambda config: ())
    label_free_metrics: frozenset[str] = (
        frozenset()
    )  # those of metrics.LABEL_FREE_METRICS that its predictor offers
    parameters: Callable[[ConfigT], int] | None = None  # number of weights: the plan estimates disk space
    # Cells of its mask loss and its maps; None: it does not say.
    grid: Callable[[ConfigT], Grid | None] = field(default=lambda config: None)
    # What its mask loss asks for, given a mask (h × w, 0/1); None where it asks nothing. None: it does not
    # say.
    mask_target: Callable[[ConfigT, NDArray[np.uint8]], MaskTarget | None] | None = None
    # The way out where every training image is defective and the config needs normal ones; None: it does not.
    needs_normal: Callable[[ConfigT], str | None] = field(default=lambda config: MASKS_ALONE)
    # True where training reads validation images for more than its curves: they then promise nothing of new
    # parts, and `data.calibration` has to. A method that does not say is taken to read them.
    reads_validation: Callable[[ConfigT], bool] = field(default=lambda config: True)
    # Settings by which it normalises over a worker's own images, in a loop of its own: such a config is
    # trained by one worker.
    batch_norms: Callable[[ConfigT], Sequence[str]] = field(default=lambda config: ())
    source: str = ""  # authors, year and where to find it: what its settings call "the paper"
    # True: images are given as stored, with their bits and at their size (`ImageSet.stored`).
    gives_stored: Callable[[ConfigT], bool] = field(default=lambda config: False)
    # True: its `fit` is given masks by class too, where the data have several (`ImageSet.class_masks`).
    reads_classes: bool = False
    trained_here: bool = True  # False: by somebody's own loop, whose predictions are scored


def batch_norm_objection(setting: str, workers: int) -> str:
    """The sentence against batch normalisation in a trial of several workers."""
    return (
        f"{setting}: bn takes statistics over a worker's own images, so {workers} workers would train "
        f"another model than one. Set {setting}: gn, or resources.workers: 1."
    )
