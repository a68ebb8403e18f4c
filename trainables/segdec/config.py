"""Settings of SegDecNet: every addition of the paper and every quirk of the published code is a field.

Defaults are the published network and the paper's method without the code's accidents: a binary image
label, no forced gradient stop, each defective image seen in every epoch. The presets in ``presets.py``
hold the published settings per data set, and ``*_as_published`` the accidents too.

Source: Božič, Tabernik, Skočaj 2021, arXiv:2104.06064 ("the paper" below), and the behaviour of the code
its authors released ("the code").
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from trainables.contract import TrainableConfig
from trainables.nn.choices import Flips, RateSchedule
from trainables.nn.weight_counts import convolution

__all__ = ["SegDecConfig", "count_parameters"]

_NARROW = 0.25  # channel_scale up to which channels_last is the faster layout on a CPU
_FULL_WIDTH_COST = 4  # of a pass: a full-width training takes 1.3 GB for 512 × 512 pixels in float32


class SegDecConfig(TrainableConfig, frozen=True):
    """Settings of one SegDecNet training."""

    added_later = frozenset(
        {"flips", "schedule", "lr_warmup_epochs", "clip_norm", "weight_average", "cuda_graph"}
    )

    sf_kernel: Literal[5, 15] = Field(
        15,
        description="Kernel side of the 1024-channel layer, cells: 15 in the code, 5 in the paper's Table 1.",
    )
    first_convs: Literal[1, 2] = Field(
        1, description="5×5 convolutions at full resolution: 1 in the code, 2 in the paper's Table 1."
    )
    feature_norm: Literal["sqrt_std", "std"] = Field(
        "sqrt_std",
        description="What features are divided by: `sqrt_std` the square root of their standard deviation "
        "(code), `std` the standard deviation itself (unit variance, as is usual).",
    )
    seg_norm_bias: Literal["trained", "zero"] = Field(
        "trained", description="Bias of the mask logits: `trained` as the code does, `zero` as it means to."
    )
    channel_scale: float = Field(
        1.0, ge=1 / 16, le=2, description="Factor on the trunk's channels (32, 64, 1024); 1: published width."
    )

    balance: Literal["none", "linear", "power"] = Field(
        "linear",
        description="λ of Eq. 1 in epoch n of E: linear 1 − n/E (paper), power (1 − n/E)^balance_power; "
        "none: both losses at full weight throughout.",
    )
    balance_power: float = Field(1.0, gt=0, le=10, description="Exponent of λ, for balance: power only.")
    delta: float = Field(1.0, ge=0, le=100, description="δ of Eq. 1, weight of the classification loss.")
    gradient_stop: bool = Field(
        True, description="Keep the classification loss out of trunk and mask head (paper, section 3.1)."
    )
    forced_stop_epochs: int = Field(
        0,
        ge=0,
        description="First epochs with the gradient stop on anyway; the code's first release: 10.",
    )
    image_label: Literal["binary", "soft"] = Field(
        "binary",
        description="Target of the classification loss: binary 0/1, or the code's soft maximum of the "
        "smoothed mask (where the mask is known; 1 where it is not).",
    )
    distance_weights: bool = Field(
        True, description="Weigh mask pixels by their distance to the defect's rim (paper, Eq. 4 and 5)."
    )
    w_pos: float = Field(
        1.0, ge=0, le=100, description="Weight of the defect's innermost pixel (paper, Eq. 5)."
    )
    p: float = Field(
        2.0, ge=0, le=10, description="Exponent of the relative distance to the rim (paper, Eq. 5)."
    )
    distance_scope: Literal["image", "component"] = Field(
        "image",
        description="Largest distance that weights are relative to: of the image (code), or of each "
        "8-connected defect (the paper's words; a later, withdrawn version of the code).",
    )
    dilation: int = Field(
        1, ge=1, le=99, description="Side of the square that dilates masks, original pixels; 1: none."
    )

    flips: Flips = Field(
        "none", description="Axes along which training images are flipped at random; published: none."
    )
    undersampling: Literal["frequency", "permutation"] = Field(
        "frequency",
        description="Choice of an epoch's normal images: frequency prefers those seen least (paper), "
        "permutation draws afresh.",
    )
    redraw: Literal["epoch", "counter"] = Field(
        "epoch",
        description="When normal images are drawn anew: at each epoch, or as in the code after 2P retrieved "
        "images (drifts into the next epoch when drop_last drops some).",
    )
    drop_last: bool = Field(False, description="Drop an epoch's incomplete last batch (the code does).")
    batch_size: int = Field(1, ge=1, le=1024, description="Images per step over all workers.")
    batch_gradient: Literal["sum", "mean"] = Field(
        "sum",
        description="Gradient of a step: sum over its images (code), or their mean, for which the learning "
        "rate does not depend on batch_size.",
    )
    lr: float = Field(0.1, gt=0, le=100, description="Learning rate of plain SGD.")
    schedule: RateSchedule = Field(
        "constant", description="Learning rate over the steps: constant (published), or to 0 (cosine)."
    )
    lr_warmup_epochs: int = Field(
        0, ge=0, le=10_000, description="Epochs over which the learning rate rises linearly first; 0: none."
    )
    clip_norm: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="Length to which the gradient of all weights together is cut in a step; 0: never.",
    )
    weight_average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the running average of weights that a step keeps, such as 0.99; the average is "
        "what is validated, kept and evaluated. 0: the weights themselves.",
    )
    cuda_graph: bool = Field(
        False,
        description="Record the passes of a step on a GPU and repeat them as CUDA graphs: less time between "
        "kernels, more memory, the same arithmetic. Not yet seen on a GPU.",
    )
    epochs: int = Field(
        50, ge=1, le=10_000, description="Epochs of 2P images, P = defective training images."
    )

    checkpoint: Literal["last", "best"] = Field(
        "last", description="Weights kept: last epoch, or best validation image AP (later epoch when equal)."
    )
    validate_every: int = Field(
        5,
        ge=1,
        description="Epochs between validations, counted from the first; the last one always (code: 5).",
    )

    @model_validator(mode="after")
    def _size_fits_the_network(self) -> Self:
        height, width = self.image_size
        if height % 8 or width % 8:
            raise ValueError(
                f"SegDecNet needs sides that are multiples of 8, found image_size [{height}, {width}]. "
                f"Use {_nearest_size(height, width)}."
            )
        if (height // 64) * (width // 64) < 2:
            raise ValueError(
                "SegDecNet's last layer works at a 64th of the image and needs two cells there, found "
                f"image_size [{height}, {width}]. Use {_nearest_size(height, width)}."
            )
        return self

    @property
    def widths(self) -> tuple[int, int, int]:
        """Channels of the first block, the trunk and the features."""
        first, trunk, features = (max(1, round(n * self.channel_scale)) for n in (32, 64, 1024))
        return first, trunk, features

    @property
    def pass_cost(self) -> float:
        return _FULL_WIDTH_COST * self.channel_scale

    def resolved(self, device: str) -> Self:
        """The config with every ``auto`` decided for ``device``.

        On a CPU the layout that is faster depends on the width. Milliseconds per training step, float32, one
        thread, contiguous against channels_last: quarter width at 704 × 256 430 and 300 (oneDNN's blocks
        of 16 channels are half empty), full width at 640 × 232 2050 and 2680.
        """
        decided = super().resolved(device)
        if device != "cuda" and self.memory_format == "auto" and self.channel_scale > _NARROW:
            return decided.model_copy(update={"memory_format": "contiguous"})
        return decided


def _nearest_size(height: int, width: int) -> list[int]:
    """A valid size near this one: multiples of 8, at least 64, and the longer side at least 128."""
    # Sides of 64 leave one cell to the last layer; one of at least 128 gives it the second, without which a
    # standard deviation cannot be computed.
    nearest = [max(64, round(side / 8) * 8) for side in (height, width)]
    longer = 0 if height > width else 1
    nearest[longer] = max(128, nearest[longer])
    return nearest


def count_parameters(config: SegDecConfig) -> int:
    """Number of weights of ``SegDecNet``: convolutions, each with a scale and a bias per channel."""
    first, trunk, features = config.widths
    # In the order of the network: trunk, mask head, decision.
    blocks = [(config.channels, first, 5), *[(first, first, 5)] * (config.first_convs - 1)]
    blocks += [(first, trunk, 5), *[(trunk, trunk, 5)] * 6, (trunk, features, config.sf_kernel)]
    blocks += [(features, 1, 1), (features + 1, 8, 5), (8, 16, 5), (16, 32, 5)]
    weights = sum(convolution(inputs, outputs, side) + 2 * outputs for inputs, outputs, side in blocks)
    return weights + convolution(66, 1, 1, bias=True)
