"""Settings that several methods share: of a ``resnet18s``, and of training on half-defective batches.

A method's ``Config`` extends them and adds its own; it may override a default, never a meaning. Defaults are
those of a classifier that trains from random weights on few images: a short, narrow ResNet.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from trainables.contract import TrainableConfig
from trainables.nn.augmentation import Flips
from trainables.nn.inputs import LocalContrast, Standardise
from trainables.nn.norm import Norm
from trainables.nn.resnet import ResNet18s, ResNetShape, Stem
from trainables.nn.training import Schedule
from trainables.nn.weights import check_name, load_resnet_weights, load_weights_file, weights_path

__all__ = ["BackboneConfig", "BalancedTrainingConfig", "InputLayer"]

InputLayer = Literal["standardised", "local_contrast"]


class BackboneConfig(TrainableConfig, frozen=True):
    """The first layer of a network, its ``resnet18s``, and the published weights that it starts from."""

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

    def input_layer(self) -> Standardise | LocalContrast:
        """The network's first layer; ``Standardise`` has yet to measure the training split."""
        if self.input == "local_contrast":
            return LocalContrast(self.contrast_sigma)
        return Standardise(self.channels)

    def load_weights(self, network: ResNet18s) -> None:
        """Start ``network`` from the weights file; without one it stays as it is.

        Raises:
            InputError: If the file is missing or not the one meant.
        """
        if self.weights_file is not None:
            assert self.weights_sha256 is not None
            tensors = load_weights_file(weights_path(self.weights_file), self.weights_sha256)
            load_resnet_weights(network, tensors, self.weights_file)

    def check_weights(self, **needed: str) -> None:
        """Whether ``weights_file`` and its sha256 come together and fit the layout.

        Args:
            needed: Settings of the method that the file needs as well, with their values.

        Raises:
            ValueError: Otherwise.
        """
        if (self.weights_file is None) != (self.weights_sha256 is None):
            raise ValueError("weights_file and weights_sha256 come together: give both or neither")
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
