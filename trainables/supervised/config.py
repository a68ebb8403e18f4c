"""Settings of the supervised baselines; a field that only one of the two models reads says so.

Defaults are those of a classifier that trains from random weights on few images: a short, narrow ResNet.
``presets.py`` holds them beside the usual sizes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from trainables.contract import TrainableConfig
from trainables.nn.augmentation import Flips
from trainables.nn.maps import Pool
from trainables.nn.norm import Norm
from trainables.nn.resnet import ResNetShape, Stem
from trainables.nn.training import Schedule
from trainables.nn.weights import check_name

__all__ = ["SupervisedConfig"]


class SupervisedConfig(TrainableConfig, frozen=True):
    """Settings of one training of a classifier or a U-Net."""

    model: Literal["classifier", "unet"] = Field(
        "classifier",
        description="classifier: image labels only, heatmap by class activation; unet: masks and labels.",
    )

    input: Literal["standardised", "local_contrast"] = Field(
        "standardised",
        description="What convolutions see: (x − mean)/std of the training split, or the difference from a "
        "Gaussian blur over its root mean square.",
    )
    contrast_sigma: float = Field(
        12.0, ge=1, le=200, description="Standard deviation of that blur, pixels, for input: local_contrast."
    )

    encoder: Literal["resnet18s", "plain"] = Field(
        "resnet18s", description="The U-Net's contracting path; the classifier always has resnet18s."
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
    base: int = Field(16, ge=4, le=128, description="Channels of the plain encoder at full size (U-Net).")
    levels: int = Field(4, ge=1, le=6, description="Halvings of the plain encoder (U-Net); published: 4.")
    norm: Norm = Field(
        "bn",
        description="Normalisation: bn over the batch (published weights and sharp activation maps need it; "
        "one worker only), gn over groups of channels of one image.",
    )
    weights_file: Annotated[str, AfterValidator(check_name)] | None = Field(
        None,
        description="State dict of torchvision's resnet18 to start from: a path below the folder that the "
        "environment variable ASSAY_WEIGHTS names.",
    )
    weights_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="sha256 of that file, hexadecimal."
    )

    pool: Pool = Field(
        "lse", description="How the classifier's map becomes one logit: mean, mean of the top, lse, maximum."
    )
    top_share: float = Field(
        0.05, gt=0, le=1, description="Share of cells in pool: topk, and of pixels in the U-Net's image head."
    )
    lse_r: float = Field(5.0, ge=0.1, le=100, description="r of pool: lse; large: nearer to the maximum.")
    gate_by_score: bool = Field(
        True, description="Multiply the classifier's heatmap by the image's score (classifier)."
    )

    pos_weight: float = Field(
        10.0, gt=0, le=1000, description="Weight of defect pixels in the cross-entropy (U-Net)."
    )
    dice_weight: float = Field(1.0, ge=0, le=100, description="Weight of the Dice loss (U-Net).")
    image_weight: float = Field(
        0.5, ge=0, le=100, description="Weight of the image head's cross-entropy (U-Net)."
    )

    flips: Flips = Field("both", description="Axes along which training images are flipped at random.")
    photometric: float = Field(
        0.2, ge=0, le=1, description="Largest random change of gain (relative) and offset (grey range)."
    )
    batch_size: int = Field(
        16, ge=2, le=1024, description="Images per step over all workers, half of them defective."
    )
    lr: float = Field(3e-3, gt=0, le=1, description="Learning rate of AdamW at its highest.")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="Decoupled weight decay of AdamW.")
    schedule: Schedule = Field("cosine", description="Learning rate over the steps: constant, or to 0.")
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

    @field_validator("batch_size")
    @classmethod
    def _halves_are_equal(cls, value: int) -> int:
        if value % 2:
            raise ValueError(
                f"half of a batch is defective: batch_size is even, found {value}. Use {value + 1}."
            )
        return value

    @model_validator(mode="after")
    def _network_can_be_built(self) -> Self:
        if self.uses_resnet:
            _ = self.resnet  # says which strides fit
        elif min(self.image_size) < 1 << self.levels:
            raise ValueError(
                f"{self.levels} halvings need sides of at least {1 << self.levels} pixels, found image_size "
                f"{list(self.image_size)}. Lower levels."
            )
        if (self.weights_file is None) != (self.weights_sha256 is None):
            raise ValueError("weights_file and weights_sha256 come together: give both or neither")
        if self.weights_file is not None:
            self._weights_fit()
        return self

    def _weights_fit(self) -> None:
        needed = {"width": 64, "stem": "tv", "stages": 4, "blocks": 2, "norm": "bn"}
        if self.model == "unet":
            needed["encoder"] = "resnet18s"
        wrong = {name: value for name, value in needed.items() if getattr(self, name) != value}
        if wrong:
            raise ValueError(
                "a weights_file is torchvision's resnet18 and fits its layout only: set "
                + ", ".join(f"{name}: {value}" for name, value in wrong.items())
            )

    @property
    def uses_resnet(self) -> bool:
        """Whether the network has a ``resnet18s``."""
        return self.model == "classifier" or self.encoder == "resnet18s"

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

    def identity(self) -> dict[str, Any]:
        """All settings but the name of the weights file: its sha256 says which weights they are."""
        return self.model_dump(mode="json", exclude={"weights_file"})
