"""Settings that methods share: of published weights, a ``resnet18s``, half-defective batches, pseudo labels.

A method's ``Config`` extends them and adds its own; it may override a default, never a meaning. Defaults are
those of a classifier that trains from random weights on few images: a short, narrow ResNet.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from trainables.contract import TrainableConfig
from trainables.nn.choices import (
    Crf,
    Flips,
    GuidedFilter,
    Norm,
    RateSchedule,
    Refiner,
    ResNetShape,
    Stem,
    TrainingSchedule,
)
from trainables.nn.trunk.file import TrunkFile
from trainables.nn.weight_files import check_name

__all__ = [
    "BackboneConfig",
    "BalancedTrainingConfig",
    "HalvedBatch",
    "InputLayer",
    "OddSide",
    "PseudoLabelConfig",
    "PublishedWeightsConfig",
    "check_halvings",
]

InputLayer = Literal["standardised", "local_contrast"]

_LEAST_SIDE = 16  # pixels: what all nets' default depths can halve


def check_halvings(image_size: tuple[int, int], name: str, levels: int) -> None:
    """Refuse images too small for a U-Net.

    Raises:
        ValueError: Otherwise; it calls the setting ``name``.
    """
    if min(image_size) < 1 << levels:
        raise ValueError(
            f"{levels} halvings need sides of at least {1 << levels} pixels, found image_size "
            f"{list(image_size)}. Lower {name}."
        )


def _even(value: int, info: ValidationInfo) -> int:
    if value % 2:
        raise ValueError(
            f"half of a batch is defective: {info.field_name} is even, found {value}. Use {value + 1}."
        )
    return value


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"a window has a middle: its side is odd, found {value}. Use {value + 1}")
    return value


HalvedBatch = Annotated[int, AfterValidator(_even)]
OddSide = Annotated[int, AfterValidator(_odd)]


class PublishedWeightsConfig(TrainableConfig, frozen=True):
    """A published network that a method starts from or learns from."""

    # A sha256 says which weights they are, and decides what was found in a trunk's file.
    locations = frozenset({"weights_file", "trunk.file", "trunk.shapes", "trunk.strides", "trunk.size"})

    weights_file: Annotated[str, AfterValidator(check_name)] | None = Field(
        None,
        description="State dict of a published network to start from: a path below the folder that the "
        "environment variable ASSAY_WEIGHTS names.",
    )
    weights_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="sha256 of that file, hexadecimal."
    )

    @model_validator(mode="after")
    def _file_and_sha256_come_together(self) -> Self:
        if (self.weights_file is None) != (self.weights_sha256 is None):
            raise ValueError(
                "weights_file and weights_sha256 come together, found weights_file: "
                f"{self.weights_file or 'none'} and weights_sha256: {self.weights_sha256 or 'none'}. "
                "Give both or neither."
            )
        return self

    def check_trunk_file(self, **unread: Any) -> None:
        """Refuse settings beside a trunk's file that nothing would read.

        Args:
            unread: The method's own settings of named trunks, with the value that they have to keep.

        Raises:
            ValueError: If one is set, or the trunk is a file and there are weights for it.
        """
        if self.trunk_file is None:
            return
        kept = {"weights_file": None, **unread}
        changed = {name: getattr(self, name) for name in kept if getattr(self, name) != kept[name]}
        if changed:
            settings = ", ".join(f"{name}: {value}" for name, value in changed.items())
            raise ValueError(
                f"a trunk by its file is read as it is, found {settings} beside it. Leave it out, or set "
                + ", ".join(f"{name}: {'none' if kept[name] is None else kept[name]}" for name in changed)
            )

    @property
    def trunk_file(self) -> TrunkFile | None:
        """The network below the method's heads where it is a file, for methods that have a ``trunk``."""
        trunk = getattr(self, "trunk", None)
        return trunk if isinstance(trunk, TrunkFile) else None

    @property
    def places(self) -> dict[str, Any]:
        """Settings that no key of a stage holds, since hashes stand for them: its making needs them."""
        file = self.trunk_file
        trunk = {} if file is None else {"trunk": file.model_dump(mode="json")}
        return {"weights_file": self.weights_file, **trunk}

    @property
    def weights_notes(self) -> list[str]:
        """Footnotes of a table whose rows start from published weights; none without such."""
        sha256 = self.trunk_file.sha256 if self.trunk_file is not None else self.weights_sha256
        if sha256 is None:
            return []
        return [
            f"weights: sha256 {sha256[:12]}…. These rows start from weights trained on other "
            "images; rows trained from random weights are not comparable with them."
        ]


class BackboneConfig(PublishedWeightsConfig, frozen=True):
    """The first layer of a network and its ``resnet18s``, which may start from published weights."""

    input: InputLayer = Field(
        "standardised",
        description="What convolutions see: (x − mean)/std of the training split, or the difference from a "
        "Gaussian blur over its root mean square.",
    )
    contrast_sigma: float = Field(
        12.0, ge=1, le=200, description="Standard deviation of that blur, pixels, for input: local_contrast."
    )
    width: int = Field(16, ge=4, le=256, description="Channels of resnet18s' first stage; 64: as published.")
    stem: Stem = Field(
        "mid", description="First layers of resnet18s: tv stride 4 (published), mid stride 2, small stride 1."
    )
    stages: int = Field(3, ge=1, le=4, description="Stages of resnet18s; 4: as published.")
    blocks: int = Field(1, ge=1, le=2, description="Residual blocks per stage; 2: as published.")
    output_stride: Literal[1, 2, 4, 8, 16, 32] = Field(
        8, description="Pixels between cells of resnet18s' last stage, stem included; 32: as published."
    )
    norm: Norm = Field(
        "bn",
        description="Normalisation: bn over the batch (published weights and sharp activation maps need "
        "it), gn over groups of channels of one image.",
    )

    @property
    def resnet(self) -> ResNetShape:
        """The shape of its ``resnet18s``."""
        return ResNetShape(
            channels=self.channels,
            width=self.width,
            stem=self.stem,
            stages=self.stages,
            blocks=self.blocks,
            output_stride=self.output_stride,
            norm=self.norm,
        )

    def check_weights(self, **needed: str) -> None:
        """Refuse a ``weights_file`` that does not fit the layout.

        Args:
            needed: Settings of the method that the file needs as well, with their values.

        Raises:
            ValueError: Otherwise.
        """
        # All that the file asks for is said at once, so a study is mended in one go.
        layout = {"width": 64, "stem": "tv", "stages": 4, "blocks": 2, "norm": "bn", **needed}
        wrong = {name: value for name, value in layout.items() if getattr(self, name) != value}
        if self.weights_file is not None and wrong:
            raise ValueError(
                "a weights_file is torchvision's resnet18 and fits its layout only: set "
                + ", ".join(f"{name}: {value}" for name, value in wrong.items())
            )


class BalancedTrainingConfig(TrainableConfig, frozen=True):
    """AdamW on batches that are half defective, half normal, of randomly changed images."""

    flips: Flips = Field("both", description="Axes along which training images are flipped at random.")
    photometric: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Largest random change of gain (relative) and offset (grey range); a network with input: "
        "local_contrast sees neither.",
    )
    batch_size: HalvedBatch = Field(
        16, ge=2, le=1024, description="Images per step over all workers, half of them defective."
    )
    lr: float = Field(3e-3, gt=0, le=1, description="Learning rate of AdamW at its highest.")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="Decoupled weight decay of AdamW.")
    schedule: RateSchedule = Field("cosine", description="Learning rate over the steps: constant, or to 0.")
    epochs: int = Field(
        30, ge=1, le=10_000, description="Epochs of 2P images, P = defective training images."
    )
    min_steps: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Epochs are added until there are this many steps (few images).",
    )
    validate_every: int = Field(
        5, ge=1, description="Epochs between validations, counted from the first; the last one always."
    )

    @property
    def training(self) -> TrainingSchedule:
        """Length and pace of the training on labels."""
        return TrainingSchedule(self.epochs, self.min_steps, self.schedule, self.validate_every)


class PseudoLabelConfig(BalancedTrainingConfig, frozen=True):
    """Pseudo labels cut from a map, segmentation nets that learn from them, the CRF, and what comes after."""

    foreground: float = Field(0.5, gt=0, le=1, description="Start of the defect for threshold: fixed.")
    background: float = Field(0.2, ge=0, lt=1, description="End of the background; between: unknown.")
    area: float = Field(0.005, gt=0, lt=1, description="Share of a defective image, threshold: area_prior.")

    segment_base: int = Field(32, ge=4, le=128, description="Channels of segmentation nets at full size.")
    segment_levels: int = Field(4, ge=1, le=6, description="Halvings of segmentation nets.")
    segment_lr: float = Field(3e-3, gt=0, le=1, description="Learning rate of segmentation nets.")
    segment_batch: HalvedBatch = Field(
        8, ge=2, le=256, description="Images per step, half of them defective; even."
    )
    segment_epochs: int = Field(30, ge=1, le=10_000, description="Epochs of 2P images, P = defective images.")
    segment_min_steps: int = Field(250, ge=0, le=1_000_000, description="Least number of steps.")
    pos_weight: float = Field(
        30.0, gt=0, le=1000, description="Weight of defect pixels in the cross-entropy; 30 to 100."
    )
    dice_weight: float = Field(1.0, ge=0, le=100, description="Weight of the Dice loss.")

    crf: bool = Field(False, description="Refine probabilities by a CRF; it shrinks, and eats thin defects.")
    crf_kind: Literal["meanfield", "guided"] = Field(
        "meanfield",
        description="The CRF, or a guided filter in its place, which reads radius, dilation and s_rgb.",
    )
    crf_w_rgb: float = Field(10.0, ge=0, le=100, description="Weight of being near and alike; 1 to 20.")
    crf_s_rgb: float = Field(
        10.0, gt=0, le=255, description="How unlike pixels may be, grey levels; 3 to 30."
    )
    crf_radius: int = Field(5, ge=1, le=20, description="Window, in steps of crf_dilation.")
    crf_dilation: int = Field(1, ge=1, le=16, description="Pixels between places of the window.")
    crf_steps: int = Field(10, ge=1, le=50, description="Mean-field updates; 3 to 10.")
    crf_guard: float = Field(
        1 / 3,
        ge=0,
        le=1,
        description="The CRF is left out if it leaves less than this share of the area on training images.",
    )

    round_foreground: float = Field(
        0.5, gt=0, le=1, description="Where a net's probabilities become labels, defects start here."
    )
    round_background: float = Field(0.3, ge=0, lt=1, description="And the background ends here.")

    @model_validator(mode="after")
    def _nets_can_be_built(self) -> Self:
        for name, low, high in (
            ("background", self.background, self.foreground),
            ("round_background", self.round_background, self.round_foreground),
        ):
            if low >= high:
                raise ValueError(f"{name} ends below where the other starts: found {low} and {high}")
        if min(self.image_size) < _LEAST_SIDE:
            raise ValueError(
                f"sides of image_size are {_LEAST_SIDE} pixels at least, found {list(self.image_size)}"
            )
        check_halvings(self.image_size, "segment_levels", self.segment_levels)
        return self

    @property
    def refiner(self) -> Refiner:
        """The CRF, or what stands in for it."""
        if self.crf_kind == "guided":
            return GuidedFilter(self.crf_radius * self.crf_dilation, self.crf_s_rgb)
        return Crf(
            w_rgb=self.crf_w_rgb,
            s_rgb=self.crf_s_rgb,
            radius=self.crf_radius,
            dilation=self.crf_dilation,
            steps=self.crf_steps,
        )

    @property
    def segmenting(self) -> TrainingSchedule:
        """Length and pace of segmentation nets' training."""
        return TrainingSchedule(self.segment_epochs, min_steps=self.segment_min_steps, rate=self.schedule)
