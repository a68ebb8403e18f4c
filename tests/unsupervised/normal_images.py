"""Tiny textured images in folders, read and split as a study does, and configs that train in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.data.made_images import write
from trainables.contract import Run
from trainables.data import DataSpec, Supervision, load_training, make_split, open_images, open_manifest
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.tensors import images_to_tensor
from trainables.unsupervised import TRAINABLE, UnsupervisedConfig
from trainables.unsupervised.predictor import UnsupervisedPredictor

CPU = torch.device("cpu")
SIZE = (32, 40)
SPEC = DataSpec(reader="folder", splits="per_seed")
NONE = Supervision(kind="none")
MODELS = ("f_anogan", "students")


def tiny_config(model: str, **changes: Any) -> UnsupervisedConfig:
    settings: dict[str, Any] = {
        "model": model, "image_size": SIZE, "epoch_steps": 2, "patches_per_image": 20,
        "patch_size": 16, "patch_stride": 4, "gan_latent": 4, "gan_width": 2, "gan_norm": "gn",
        "gan_steps": 4, "gan_batch": 4, "gan_critic_steps": 2, "encoder_steps": 4, "encoder_batch": 4,
        "scales": (17,), "descriptor": 4, "descriptor_width": 3, "dense_stride": 2, "teacher_steps": 4,
        "teacher_batch": 6, "students": 2, "student_batch": 3, "student_max_steps": 4,
    }  # fmt: skip
    return UnsupervisedConfig.model_validate(settings | changes)


def surface(seed: int, /, *, defect: bool = False) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    image = rng.normal(rng.uniform(90, 130), 12, SIZE)
    if defect:
        image[10:18, 12:20] += 80
    return image.clip(0, 255).astype(np.uint8)


def make_images(root: Path, normal: int = 16, defective: int = 10) -> Path:
    """``good/`` and ``defect/`` below ``root``."""
    for index in range(normal):
        write(root / "good" / f"g{index}.png", surface(index))
    for index in range(defective):
        write(root / "defect" / f"d{index}.png", surface(1000 + index, defect=True))
    return root


def loaded(root: Path, cache: Path, supervision: Supervision = NONE, **changes: Any) -> TrainingData:
    """What a trial of seed 0 would train on."""
    spec = SPEC.model_copy(update=changes)
    manifest = open_manifest(spec, root, cache)
    split = make_split(manifest, spec, supervision, seed=0, fold=None)
    return load_training(manifest, split, supervision, open_images(manifest, SIZE, 1, cache))


class Paint(Protocol):
    """Draws an image of ``SIZE``."""

    def __call__(self, seed: int, /, *, defect: bool = False) -> NDArray[np.uint8]: ...


def made_set(numbers: range, *, defective: int = 0, paint: Paint = surface) -> ImageSet:
    """The same images without files; the first ones defective."""
    ids = tuple(str(number) for number in numbers)
    flags = np.arange(len(ids)) < defective
    images = {
        name: paint(number, defect=bool(flag))[..., None]
        for name, number, flag in zip(ids, numbers, flags, strict=True)
    }
    return ImageSet(ids, flags, images)


def made_data(*, validation: bool = True) -> TrainingData:
    held_out = made_set(range(100, 110), defective=3) if validation else None
    return TrainingData(made_set(range(10)), held_out, NONE)


def pictures(count: int) -> Tensor:
    """B × 1 × H × W in [0, 1]."""
    images = made_set(range(50, 50 + count))
    return images_to_tensor([sample.image for sample in images], CPU)


def fitted(config: UnsupervisedConfig, data: TrainingData, run: Run) -> UnsupervisedPredictor:
    found = TRAINABLE.fit(config, data, run)
    assert isinstance(found, UnsupervisedPredictor)
    return found
