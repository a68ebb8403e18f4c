"""What both baselines must learn: normal surfaces have upright stripes, defects lie across them.

Brightness and contrast of a defect are those of the stripes around it. Networks that learned nothing may tell
such defects apart as well, so what was learned of normal images is asked for itself.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.unsupervised.normal_images import CPU, MODELS, NONE, SIZE, fitted, made_set, tiny_config
from trainables.contract import LocalRun
from trainables.data.samples import EvaluationData, ImageSet, TrainingData
from trainables.data.tensors import images_to_tensor
from trainables.evaluation.evaluate import evaluate
from trainables.unsupervised.predictor import UnsupervisedPredictor
from trainables.unsupervised.students import School, Students

PERIOD, SIDE = 8, 18
LONG: dict[str, Any] = {
    "gan_width": 8, "gan_latent": 16, "gan_steps": 60, "gan_batch": 16, "gan_lr": 1e-3,
    "encoder_steps": 150, "encoder_batch": 16, "encoder_lr": 1e-3, "patches_per_image": 100,
    "descriptor": 8, "descriptor_width": 8, "teacher_steps": 100, "teacher_batch": 16, "teacher_lr": 1e-3,
    "student_max_steps": 200, "student_lr": 1e-3, "epoch_steps": 100,
}  # fmt: skip


def stripes(seed: int, /, *, defect: bool = False) -> NDArray[np.uint8]:
    """A striped surface; ``defect``: a square of it is turned."""
    rng = np.random.default_rng(seed)
    wave = np.sin(2 * np.pi * (np.arange(SIZE[1] + SIZE[0]) + rng.uniform(0, PERIOD)) / PERIOD)
    image = 120 + 50 * np.broadcast_to(wave[: SIZE[1]], SIZE) + rng.normal(0, 5, SIZE)
    if defect:
        top, left = rng.integers(0, np.array(SIZE) - SIDE)
        image[top : top + SIDE, left : left + SIDE] = (
            120 + 50 * wave[:SIDE, None] + rng.normal(0, 5, (SIDE, SIDE))
        )
    return image.clip(0, 255).astype(np.uint8)


striped_set = partial(made_set, paint=stripes)


@cache
def trained(model: str) -> UnsupervisedPredictor:
    data = TrainingData(striped_set(range(24)), None, NONE)
    return fitted(tiny_config(model, **LONG), data, LocalRun())


def shown(images: ImageSet) -> Tensor:
    return images_to_tensor([sample.image for sample in images], CPU)


@pytest.mark.parametrize("model", MODELS)
def test_turned_stripes_are_found(model: str) -> None:
    test = EvaluationData(None, striped_set(range(100, 130), defective=10))
    found = evaluate(trained(model), test, device=CPU, batch=10, probes=0, seed=0).metrics
    assert found["image_ap"] >= 0.9  # chance: 0.33


def test_the_gan_and_its_encoder_reconstruct_normal_images_and_no_defect() -> None:
    def error(defective: int) -> float:
        """Of the whole image, in units of its variance: 1 would be its mean grey everywhere."""
        images = shown(striped_set(range(200, 208), defective=defective))
        made = trained("f_anogan").predict_stages(images).stages["reconstruction"]
        return float((made - images).square().mean() / images.var())

    assert error(0) < 0.2
    assert error(8) > 2 * error(0)


def test_students_say_of_normal_images_what_their_teacher_says() -> None:
    students = trained("students").network.networks
    assert isinstance(students, Students)
    school = students.schools["17"]
    assert isinstance(school, School)
    images = shown(striped_set(range(200, 208)))
    with torch.no_grad():
        missed = school.errors(images).regression_Bhw.mean()
        said = school.target(images).square().sum(dim=1).mean()
    assert missed < 0.3 * said  # students that say 0 everywhere miss all of it
