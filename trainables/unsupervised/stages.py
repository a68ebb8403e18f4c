"""The stages of both baselines, in order, with the settings that each depends on; ``fit.py`` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from trainables.runtime.lazy_import import LazyFunction
from trainables.stages import Stage
from trainables.unsupervised.config import UnsupervisedConfig

__all__ = ["stages"]

_CHAIN = "trainables.unsupervised.fit"
# What all stages read, the patches of f-AnoGAN and its networks' shape, and the shape of descriptors.
_COMMON = ("image_size", "channels", "precision", "memory_format", "model", "held_out", "epoch_steps")
_PATCHES = ("patch_size", "patches_per_image")
_GAN_SHAPE = ("gan_latent", "gan_width", "gan_norm")
_DESCRIPTORS = ("descriptor", "descriptor_width", "dense_stride")


def stages(config: UnsupervisedConfig) -> Sequence[Stage]:
    """List the stages of ``config``, in the order in which they are made."""
    # The encoder learns with the finished GAN, so κ concerns it alone and the GAN is shared by trials that
    # differ in κ.
    if config.model == "f_anogan":
        shape = (*_COMMON, *_PATCHES, *_GAN_SHAPE)
        gan = config.part("gan_", names=shape)
        encoder = config.part("encoder_", names=(*shape, "kappa"))
        return (
            Stage("gan", gan, LazyFunction(f"{_CHAIN}:make_gan")),
            Stage("encoder", encoder, LazyFunction(f"{_CHAIN}:make_encoder"), ("gan",), config.step_names),
        )
    teachers: list[Stage] = []
    students: list[Stage] = []
    learned = ("teacher", "weights_sha256", "patches_per_image", "trunk")
    for scale in config.scales:
        # Every scale is a chain of its own: trials with other scales beside it share it.
        alone = {"scales": [scale]}
        names = (*_COMMON, *_DESCRIPTORS)
        teacher = config.without_added_later(config.part("teacher_", names=(*names, *learned))) | alone
        make = partial(LazyFunction(f"{_CHAIN}:make_teacher"), weights_file=config.weights_file)
        teachers.append(Stage(f"teacher_{scale}", teacher, make))
        student = config.part("student", names=names) | alone
        shown = config.model_copy(update={"scales": (scale,)}).step_names
        make, after = LazyFunction(f"{_CHAIN}:make_students"), (f"teacher_{scale}",)
        students.append(Stage(f"students_{scale}", student, make, after, shown))
    return (*teachers, *students)
