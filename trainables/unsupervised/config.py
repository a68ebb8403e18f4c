"""Settings of the two unsupervised baselines; a field that only one of them reads says so, or is named so.

``patch_…``, ``patches_…``, ``gan_…``, ``encoder_…`` and ``kappa`` belong to f-AnoGAN; ``scales``,
``descriptor…``, ``dense_stride``, ``teacher…``, ``student…`` and ``weights_…`` to Uninformed Students.
Defaults are published values where there are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from trainables.nn.choices import Norm, TrunkName
from trainables.nn.settings import OddSide, PublishedWeightsConfig
from trainables.nn.weight_counts import convolution

__all__ = [
    "COARSE",
    "PATCH_LAYERS",
    "Placing",
    "Scale",
    "UnsupervisedConfig",
    "count_parameters",
    "gan_widths",
    "receptive_field",
]

Placing = Literal["centre", "overlap"]
Scale = Literal[17, 33, 65]

COARSE = 4  # pixels: side of the smallest map

# Sides of the kernels with their channels in units of the width (0: the descriptor's); None: max-pool 2 / 2.
PATCH_LAYERS: dict[int, tuple[tuple[int, int] | None, ...]] = {
    17: ((6, 1), (5, 2), (5, 2), (4, 0)),
    33: ((5, 1), None, (5, 2), None, (2, 2), (4, 0)),
    65: ((5, 1), None, (5, 1), None, (5, 1), None, (4, 2), (1, 0)),
}


def receptive_field(scale: Scale) -> int:
    """Side of the patch that a descriptor sees, pixels: 17, 32 or 60."""
    # From the last layer back: before a pooling the field is twice as wide, before a convolution wider by
    # its kernel less one.
    side = 1
    for layer in reversed(PATCH_LAYERS[scale]):
        side = 2 * side if layer is None else side + layer[0] - 1
    return side


class UnsupervisedConfig(PublishedWeightsConfig, frozen=True):
    """Settings of one training on normal images."""

    added_later = frozenset({"trunk"})

    model: Literal["f_anogan", "students"] = Field(
        "students",
        description="f_anogan: what a GAN of normal patches cannot reconstruct; students: where students of "
        "normal images miss their teacher.",
    )
    held_out: float = Field(
        0.1,
        gt=0,
        le=0.5,
        description="Share of the normal training items that statistics are measured on instead of training, "
        "where validation has no normal image; our choice.",
    )
    score_pool: OddSide = Field(
        21, ge=1, le=201, description="Side of the mean filter before the image's maximum, pixels (2021: 21)."
    )
    score_norm: bool = Field(
        True, description="Divide the image's maximum by 1 + mean of its map (2021); off: the maximum alone."
    )
    epoch_steps: int = Field(
        500, ge=1, le=100_000, description="Optimiser steps between two lines of the log and checkpoints."
    )

    patch_size: Literal[16, 32, 64] = Field(
        64, description="Side of f-AnoGAN's patches, pixels; published: 64."
    )
    patches_per_image: int = Field(
        500, ge=1, le=100_000, description="Fixed random patches of each image that train (2021: 500)."
    )
    patch_stride: int = Field(
        1, ge=1, le=64, description="Pixels between patches that are scored; 1: one at every pixel (2021)."
    )
    patch_placing: Placing = Field(
        "centre",
        description="What a pixel gets of the patches' scores: centre, that of the patch around it "
        "(interpolated between strides); overlap, the mean of all that cover it.",
    )
    gan_latent: int = Field(128, ge=2, le=1024, description="Dimensions of z (published code: 128).")
    gan_width: int = Field(
        64, ge=2, le=256, description="Channels of the finest layers (published code: 64)."
    )
    gan_norm: Norm = Field(
        "bn",
        description="Normalisation in generator and encoder: bn (published code; one worker only) or gn. "
        "The critic always has layer normalisation.",
    )
    gan_steps: int = Field(
        50_000, ge=1, le=10_000_000, description="Steps of the generator; our choice (not published)."
    )
    gan_batch: int = Field(64, ge=1, le=4096, description="Patches per step over all workers.")
    gan_lr: float = Field(1e-4, gt=0, le=1, description="Learning rate of generator and critic; 5e-5..3e-4.")
    gan_critic_steps: int = Field(5, ge=1, le=100, description="Steps of the critic per generator's; 3 to 5.")
    gan_penalty: float = Field(10.0, ge=0, le=1000, description="Weight of the critic's gradient penalty.")
    encoder_steps: int = Field(
        50_000, ge=1, le=10_000_000, description="Steps of the encoder (published code: 50,000)."
    )
    encoder_batch: int = Field(64, ge=1, le=4096, description="Patches per step over all workers.")
    encoder_lr: float = Field(5e-5, gt=0, le=1, description="Learning rate of the encoder's RMSProp.")
    kappa: float = Field(
        1.0, ge=0, le=1000, description="Weight of the distance in the critic's features; 0.1 to 10."
    )

    scales: tuple[Scale, ...] = Field(
        (17, 33, 65), min_length=1, description="Patch sizes of teachers, pixels; published: 17, 33, 65."
    )
    descriptor: int = Field(128, ge=2, le=1024, description="Dimensions of a descriptor; published: 128.")
    descriptor_width: int = Field(
        128, ge=2, le=512, description="Channels of the first layer; published: 128, later ones up to 256."
    )
    dense_stride: Literal[1, 2, 4, 8] = Field(
        1, description="Pixels between descriptors in training and use; published: 1, one at every pixel."
    )
    teacher: Literal["metric", "distill", "random"] = Field(
        "metric",
        description="How teachers learn: metric from normal patches alone; distill from a weights_file too, "
        "as published; random: not at all, the floor of the idea.",
    )
    trunk: TrunkName = Field(
        "resnet18", description="Published network that teacher: distill learns from; published: resnet18."
    )
    teacher_steps: int = Field(50_000, ge=1, le=10_000_000, description="Steps of each teacher.")
    teacher_batch: int = Field(64, ge=2, le=4096, description="Patches per step.")
    teacher_lr: float = Field(2e-4, gt=0, le=1, description="Learning rate of the teachers' Adam.")
    teacher_weight_decay: float = Field(1e-5, ge=0, le=1, description="L2 penalty in the teachers' Adam.")
    students: int = Field(3, ge=1, le=32, description="Students of each teacher; published: 3.")
    student_epochs: int = Field(100, ge=1, le=10_000, description="Passes of students over normal images.")
    student_max_steps: int = Field(
        10_000_000, ge=1, le=10_000_000, description="Training of students ends after these many steps."
    )
    student_batch: int = Field(1, ge=1, le=1024, description="Images per step over all workers.")
    student_lr: float = Field(1e-4, gt=0, le=1, description="Learning rate of the students' Adam.")
    student_weight_decay: float = Field(1e-5, ge=0, le=1, description="L2 penalty in the students' Adam.")
    use_variance: bool = Field(
        True, description="Add how far students disagree to how far their mean is from the teacher."
    )

    @field_validator("scales")
    @classmethod
    def _scales_are_distinct(cls, value: tuple[Scale, ...]) -> tuple[Scale, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"each scale has teacher and students of its own, found {list(value)}")
        return tuple(sorted(value))

    @model_validator(mode="after")
    def _image_holds_what_is_looked_at(self) -> Self:
        side, size = min(self.image_size), list(self.image_size)
        # Refused before anything is trained: the error would else come from the middle of a network, at the
        # first batch.
        if side < self.score_pool:
            raise ValueError(
                f"score_pool: {self.score_pool} is a window in the image, found image_size {size}. Lower it"
            )
        if self.model == "f_anogan" and side < self.patch_size:
            raise ValueError(
                f"patch_size: {self.patch_size} needs sides of as many pixels, found image_size {size}. "
                "Lower it"
            )
        if self.model == "f_anogan" and self.patch_stride > self.patch_size:
            raise ValueError(
                f"patch_stride: {self.patch_stride} would leave pixels between patches of {self.patch_size} "
                "unseen. Lower it"
            )
        if self.model == "students" and side < max(map(receptive_field, self.scales)):
            raise ValueError(f"scale {self.scales[-1]} is larger than image_size {size}. Leave it out")
        return self

    @model_validator(mode="after")
    def _weights_teach(self) -> Self:
        if self.teacher == "distill" and self.weights_file is None:
            raise ValueError(
                f"teacher: {self.teacher} learns from a weights_file, found none. Name it, or use "
                "teacher: metric"
            )
        if self.weights_file is not None and self.teacher != "distill":
            raise ValueError(f"a weights_file is read by teacher: distill only, found {self.teacher}")
        return self

    @property
    def pass_cost(self) -> float:
        """Full-size maps of all channels; patches of f-AnoGAN come in passes of their own."""
        return max(1.0, self.descriptor_width / 8) if self.model == "students" else 1.0

    @property
    def step_names(self) -> tuple[str, ...]:
        """Stages that a trained model shows on the way to its map."""
        if self.model == "f_anogan":
            return ("reconstruction", "residual")
        return tuple(f"{what} {scale}" for scale in self.scales for what in ("error", "variance"))


def gan_widths(width: int, patch: int) -> Sequence[int]:
    """Channels from the finest map to the coarsest, each of half the side."""
    halvings = (patch // COARSE).bit_length() - 1
    return [width * min(2**level, 8) for level in range(halvings + 1)]


def count_parameters(config: UnsupervisedConfig) -> int:
    """Number of weights of a saved model: generator, critic and encoder, or teachers and students."""
    if config.model == "students":
        return (config.students + 1) * sum(_count_patch_net(config, scale) for scale in config.scales)
    # Trunks of critic and encoder are alike; the generator runs the other way, and has a normalisation more
    # at its end.
    widths = gan_widths(config.gan_width, config.patch_size)
    steps = list(pairwise(widths))
    down = sum(_count_block(finer, finer, coarser) for finer, coarser in steps)
    up = sum(_count_block(coarser, finer, finer) for finer, coarser in steps)
    trunk = convolution(config.channels, widths[0], 3, bias=True) + down
    features, latent = widths[-1] * COARSE**2, config.gan_latent
    generator = convolution(latent, features, 1, bias=True) + up + 2 * widths[0]
    generator += convolution(widths[0], config.channels, 3, bias=True)
    heads = convolution(features, 1, 1, bias=True) + convolution(features, latent, 1, bias=True)
    return generator + 2 * trunk + heads


def _count_block(inputs: int, middle: int, outputs: int) -> int:
    """A residual block of the GAN: two convolutions of 3 × 3 after normalisations, and a shortcut."""
    first = 2 * inputs + convolution(inputs, middle, 3)
    second = 2 * middle + convolution(middle, outputs, 3, bias=True)
    return first + second + convolution(inputs, outputs, 1, bias=True)


def _count_patch_net(config: UnsupervisedConfig, scale: Scale) -> int:
    weights, inputs = 0, config.channels
    for layer in PATCH_LAYERS[scale]:
        if layer is not None:
            outputs = layer[1] * config.descriptor_width or config.descriptor
            weights += convolution(inputs, outputs, layer[0], bias=True)
            inputs = outputs
    return weights
