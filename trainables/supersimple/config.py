"""Settings of SuperSimpleNet: every part is a field that can be switched. Defaults are published values.

``head_…`` and ``adaptor_…`` belong to the training of the heads. What a classifier has (``width``,
``epochs``, ``lr`` and so on) belongs to a trunk that learns and is refused beside another.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from trainables.cam.config import ClassifierConfig
from trainables.nn.choices import (
    TRUNK_WIDTHS,
    Flips,
    Norm,
    TrainingSchedule,
    TrunkName,
    TrunkStride,
)
from trainables.nn.settings import HalvedBatch, PublishedWeightsConfig
from trainables.nn.trunk.file import TrunkChoice, TrunkFile
from trainables.nn.weight_counts import convolution, resnet, trunk

__all__ = ["SuperSimpleConfig", "count_parameters"]

_COARSER: TrunkStride = 16  # stride of the coarser map of a published network
_MAPS = 2  # of a trunk that are read
_NUMBERS = 64  # per pixel, of the network that passes are measured by


class SuperSimpleConfig(ClassifierConfig, frozen=True):
    """Settings of one training of the heads, and of the trunk below them."""

    added_later = ClassifierConfig.added_later | {"noise_unit", "finer_stride", "averaged"}

    stages: int = Field(4, ge=2, le=4, description="Stages of the own trunk; the last two are read.")
    output_stride: Literal[1, 2, 4, 8, 16, 32] = Field(
        16, description="Pixels between cells of the own trunk's last stage, stem included."
    )

    trunk: TrunkChoice[TrunkName | Literal["own"]] = Field(
        "own",
        description="Frozen network below the heads: a published one by its weights_file (wide_resnet50_2 in "
        "the paper), own, trained as a stage, or any network as an ONNX file, "
        "{file: …, sha256: …, maps: [finer, coarser]}.",
    )
    trunk_lr_ratio: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Above 0 a published trunk first learns the image labels, as a classifier of `cam`, at "
        "this rate in units of lr; 0: it stays as published.",
    )
    finer_stride: Literal[4, 8] = Field(
        8,
        description="Pixels between cells of the finer of the two maps that are read of a published trunk; "
        "published: 8. The coarser map has 16.",
    )
    own_task: Literal["labels", "rotations"] = Field(
        "labels",
        description="What the own trunk learns: image labels, as a classifier of `cam`; or which of four "
        "rotations a normal image has, for supervision none.",
    )
    keep_maps: bool = Field(
        True,
        description="Make the trunk's maps of training images once for all trials of a repeat (2 bytes a "
        "value, for each flip); off: anew in each step.",
    )
    doubled: bool = Field(
        True, description="Cells of half the finer map's stride (published: 4 pixels instead of 8)."
    )
    averaged: bool = Field(
        True, description="Features are means over 3 × 3 cells (published); off: narrow defects stay narrow."
    )
    adaptor: bool = Field(True, description="A trained 1 × 1 convolution between trunk and heads.")
    map_width: int = Field(1024, ge=8, le=4096, description="Channels within the map head.")
    decision: bool = Field(
        True, description="A head of its own for the image's score; off: the highest value of the map."
    )
    decision_width: int = Field(128, ge=4, le=1024, description="Channels within the decision head.")
    head_norm: Norm = Field("bn", description="Normalisation in the heads: bn over the batch, or gn.")
    gradient_stop: Literal["unsupervised", "always", "never"] = Field(
        "unsupervised",
        description="Keep the decision's gradient out of the map: with supervision none only (published), "
        "always or never.",
    )

    noise: bool = Field(True, description="Gaussian noise on adapted features, as defects to learn from.")
    noise_sd: float = Field(0.015, gt=0, le=10, description="Its standard deviation, in noise_unit.")
    noise_unit: Literal["feature", "spread"] = Field(
        "feature",
        description="What noise_sd counts in: the features' own unit (published), or each adapted feature's "
        "standard deviation over normal images before training, in which trunks differ.",
    )
    noise_share: float = Field(0.5, gt=0, le=1, description="Share of the images that get noise.")
    perlin_threshold: float = Field(
        0.2,
        ge=-1,
        lt=1,
        description="Noise is where Perlin noise in [−1, 1] exceeds this; published: 0.2, for VisA and "
        "KolektorSDD2 0.6. −1: everywhere.",
    )

    mask_share: float = Field(
        0.25, ge=0, lt=1, description="A cell is defective where more than this share of it is; our choice."
    )
    map_loss: Literal["both", "margin", "focal"] = Field(
        "both", description="Terms of the map's loss: distance to ±0.5, focal loss, or their sum."
    )
    focal_gamma: float = Field(
        4.0, ge=0, le=10, description="γ of the focal losses of map and decision; 0: cross-entropy."
    )

    head_epochs: int = Field(
        300,
        ge=1,
        le=10_000,
        description="Epochs of 2P images, P = defective training images; without any: of all normal ones.",
    )
    head_min_steps: int = Field(0, ge=0, le=1_000_000, description="Least number of the heads' steps.")
    head_batch: HalvedBatch = Field(
        32,
        ge=2,
        le=1024,
        description="Images per step over all workers, even. With noise each is shown twice in it.",
    )
    head_flips: Flips = Field(
        "both", description="Axes of random flips; published: both where masks are used, else none."
    )
    adaptor_lr: float = Field(1e-4, gt=0, le=1, description="Learning rate of the adaptor's AdamW.")
    adaptor_weight_decay: float = Field(0.01, ge=0, le=1, description="Its decoupled weight decay.")
    head_lr: float = Field(2e-4, gt=0, le=1, description="Learning rate of the heads' AdamW.")
    head_weight_decay: float = Field(1e-5, ge=0, le=1, description="Their decoupled weight decay.")
    head_decay: float = Field(
        0.4, gt=0, le=1, description="Factor on both rates after 80 and again after 90 % of the steps."
    )
    head_clip: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Largest norm of a step's gradient; 0: any. Published: 1 where masks are used, else any.",
    )
    head_validate_every: int = Field(
        50, ge=1, description="The heads' epochs between validations, counted from the first; and the last."
    )
    map_blur: float = Field(
        4.0, ge=0, le=100, description="Standard deviation of the blur of the map, pixels; 0: none."
    )

    @model_validator(mode="after")
    def _network_can_be_built(self) -> Self:
        # Building the network's shape refuses impossible strides, so the property is read for its errors.
        if self.trunk_file is not None:
            self.check_trunk_file(trunk_lr_ratio=0.0, finer_stride=8)
            if len(self.trunk_file.maps) != _MAPS:
                raise ValueError(
                    f"two maps are read of a trunk, the finer and the coarser, found trunk.maps: "
                    f"{list(self.trunk_file.maps)}. Name two outputs of the file"
                )
        elif self.trunk == "own":
            _ = self.resnet  # says which strides fit
            self.check_weights()
            if self.finer_stride != type(self).model_fields["finer_stride"].default:
                raise ValueError(
                    f"finer_stride is read of a published trunk, found {self.finer_stride} and trunk: own. "
                    "Leave it out, and set output_stride instead"
                )
        elif self.learns and (self.output_stride, self.norm, self.own_task) != (_COARSER, "bn", "labels"):
            raise ValueError(
                f"published trunks learn labels with norm: bn at output_stride: {_COARSER}, found own_task: "
                f"{self.own_task}, output_stride: {self.output_stride}, norm: {self.norm}. Change these"
            )
        return self

    @model_validator(mode="after")
    def _cells_are_pixels(self) -> Self:
        if self.doubled and self.strides[0] == 1:
            raise ValueError(
                f"doubled halves the stride of the finer map, which is a pixel already with output_stride: "
                f"{self.output_stride}. Raise it, or set doubled: false"
            )
        return self

    @model_validator(mode="after")
    def _own_settings_are_read(self) -> Self:
        # A setting of a training that does not take place would be a factor without effect, so it is
        # refused; what a frozen trunk needs too, such as its weights file, is left out of the question.
        common = {*PublishedWeightsConfig.model_fields, "trunk", "trunk_lr_ratio"}
        changed = {
            name: getattr(self, name)
            for name in ClassifierConfig.model_fields
            if name not in common and getattr(self, name) != type(self).model_fields[name].default
        }
        if not self.learns and changed:
            settings = ", ".join(f"{name}: {value}" for name, value in changed.items())
            raise ValueError(
                f"{settings} is read where the trunk learns, found trunk: {self.trunk}. Leave it out, or set "
                "trunk: own or trunk_lr_ratio above 0"
            )
        return self

    @property
    def learns(self) -> bool:
        """Say if a stage trains the trunk."""
        return self.trunk == "own" or self.trunk_lr_ratio > 0

    @property
    def read(self) -> tuple[TrunkStride, TrunkStride]:
        """Strides of the two maps that are read of a published trunk, pixels."""
        return self.finer_stride, _COARSER

    @property
    def strides(self) -> tuple[int, int]:
        """Pixels between the cells of the two maps that are read, the finer first."""
        if self.trunk_file is not None:
            finer, coarser = self.trunk_file.strides
            return finer, coarser
        if self.trunk != "own":
            return self.read
        finer, coarser = self.resnet.strides[-2:]
        return finer, coarser

    @property
    def cell(self) -> int:
        """Side of a cell of the heads, pixels."""
        return self.strides[0] // 2 if self.doubled else self.strides[0]

    @property
    def features(self) -> int:
        """Channels of both maps together."""
        if isinstance(self.trunk, TrunkFile):
            return sum(self.trunk.widths.values())
        if self.trunk != "own":
            return sum(TRUNK_WIDTHS[self.trunk][stride] for stride in self.read)
        return sum(self.resnet.widths[-2:])

    @property
    def pass_cost(self) -> float:
        numbers = 3 * self.features + 2 * self.map_width + self.decision_width
        return max(1.0, numbers / (_NUMBERS * self.cell**2))

    @property
    def lacks_weights(self) -> str | None:
        """The reason why a frozen trunk without weights cannot be meant, and the way out; else None."""
        if self.learns or self.weights_file is not None or self.trunk_file is not None:
            return None
        return (
            f"trunk: {self.trunk} is read as it was published, found no weights_file. Name its state dict "
            "and weights_sha256, or use trunk: own."
        )

    @property
    def head_training(self) -> TrainingSchedule:
        """Length of the heads' training; their rates fall otherwise than a schedule's."""
        return TrainingSchedule(
            self.head_epochs, self.head_min_steps, validate_every=self.head_validate_every
        )

    def stops(self, supervision: str) -> bool:
        """Say if the decision's gradient is kept out of the map."""
        return self.gradient_stop == "always" or (
            self.gradient_stop == "unsupervised" and supervision == "none"
        )


def count_parameters(config: SuperSimpleConfig) -> int:
    """Number of weights of a saved model: trunk and heads."""
    # A normalisation has two numbers per channel: scale and bias.
    inputs, inner, width = config.features, config.map_width, config.decision_width
    weights = resnet(config.resnet) if config.trunk == "own" else trunk(config.trunk, _COARSER)
    weights += convolution(inputs, inner, 1) + 2 * inner + convolution(inner, 1, 1)
    if config.adaptor:
        weights += convolution(inputs, inputs, 1, bias=True)
    if config.decision:
        weights += convolution(inputs + 1, width, 5) + 2 * width + convolution(2 * width + 2, 1, 1, bias=True)
    return weights
