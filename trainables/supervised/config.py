"""Settings of the supervised baselines; a field that only one of the two models reads says so.

Defaults are those of a classifier that trains from random weights on few images: a short, narrow ResNet.
``presets.py`` holds them beside the usual sizes.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from trainables.nn.choices import Pool
from trainables.nn.settings import BackboneConfig, BalancedTrainingConfig, check_halvings
from trainables.nn.weight_counts import convolution, image_head, plain_unet, resnet, unet

__all__ = ["SupervisedConfig", "count_parameters"]


class SupervisedConfig(BackboneConfig, BalancedTrainingConfig, frozen=True):
    """Settings of one training of a classifier or a U-Net."""

    model: Literal["classifier", "unet"] = Field(
        "classifier",
        description="classifier: image labels only, heatmap by class activation; unet: masks and labels.",
    )

    encoder: Literal["resnet18s", "plain"] = Field(
        "resnet18s", description="The U-Net's contracting path; the classifier always has resnet18s."
    )
    base: int = Field(16, ge=4, le=128, description="Channels of the plain encoder at full size (U-Net).")
    levels: int = Field(4, ge=1, le=6, description="Halvings of the plain encoder (U-Net); published: 4.")

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
        0.5,
        ge=0,
        le=100,
        description="Weight of the image head's cross-entropy (U-Net). 0: masks alone, for which no image "
        "need be normal.",
    )

    @model_validator(mode="after")
    def _network_can_be_built(self) -> Self:
        if self.uses_resnet:
            _ = self.resnet  # says which strides fit
        else:
            check_halvings(self.image_size, "levels", self.levels)
        self.check_weights(**({"encoder": "resnet18s"} if self.model == "unet" else {}))
        return self

    @property
    def learns_from_masks_alone(self) -> bool:
        """True for a U-Net whose image head learns nothing."""
        return self.model == "unet" and self.image_weight == 0

    @property
    def uses_resnet(self) -> bool:
        """True if the network has a ``resnet18s``."""
        return self.model == "classifier" or self.encoder == "resnet18s"


def count_parameters(config: SupervisedConfig) -> int:
    """Number of weights of the network."""
    if config.model == "unet" and config.encoder == "plain":
        return plain_unet(config.channels, config.base, config.levels, top=True)
    shape = config.resnet
    widths = (shape.width, *shape.widths)
    if config.model == "classifier":
        return resnet(shape) + convolution(widths[-1], 1, 1, bias=True)
    return resnet(shape) + unet(widths) + image_head(widths[-1])
