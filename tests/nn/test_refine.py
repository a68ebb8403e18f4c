"""Refinement: the guided filter by hand and at edges, and what a refiner may not take away."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.nn.blurred_square import iou, square
from trainables.nn.choices import Crf, GuidedFilter, Refiner
from trainables.nn.labels.refine import guided_filter, refine, sharpen

REFINERS = [Crf(), GuidedFilter()]


def windows(height: int, width: int, radius: int) -> list[list[NDArray[np.int64]]]:
    """For each pixel the flat places of its window inside the image."""
    places = np.arange(height * width).reshape(height, width)
    return [
        [
            places[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1].ravel()
            for x in range(width)
        ]
        for y in range(height)
    ]


def test_guided_filter_is_the_mean_of_linear_fits_in_every_window() -> None:
    generator = np.random.default_rng(0)
    height, width, filt = 7, 9, GuidedFilter(radius=2, s_rgb=20)
    prob, image = generator.random((height, width)), 255 * generator.random((height, width))
    where = windows(height, width, filt.radius)
    fits = np.empty((height, width, 2))
    for y in range(height):
        for x in range(width):
            grey, p = image.ravel()[where[y][x]], prob.ravel()[where[y][x]]
            slope = np.mean((grey - grey.mean()) * (p - p.mean())) / (grey.var() + filt.s_rgb**2)
            fits[y, x] = slope, p.mean() - slope * grey.mean()
    flat = fits.reshape(-1, 2)
    mean = np.array([[flat[inside].mean(axis=0) for inside in row] for row in where])
    expected = np.clip(mean[..., 0] * image + mean[..., 1], 0, 1)
    found = guided_filter(torch.from_numpy(prob)[None], torch.from_numpy(image)[None, None], filt)
    assert np.abs(found[0].numpy() - expected).max() < 1e-10


def test_on_a_plain_image_the_guided_filter_only_smooths() -> None:
    prob = torch.zeros(1, 9, 9, dtype=torch.float64)
    prob[0, 4, 4] = 1
    found = guided_filter(prob, torch.full((1, 3, 9, 9), 90.0), GuidedFilter(radius=1))
    assert found[0, 4, 4].item() == pytest.approx(1 / 9)
    assert found.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("refiner", REFINERS)
def test_several_opinions_about_the_same_images_are_refined_as_each_alone(refiner: Refiner) -> None:
    generator = torch.Generator().manual_seed(3)
    images = 255 * torch.rand(2, 1, 14, 17, generator=generator)
    opinions = torch.rand(3, 2, 14, 17, generator=generator)
    alone = [sharpen(one, images, refiner) for one in opinions]
    assert torch.allclose(sharpen(opinions, images, refiner), torch.stack(alone), atol=1e-5)


@pytest.mark.parametrize("refiner", REFINERS)
def test_a_refiner_brings_a_blurred_map_nearer_to_the_edges(refiner: Refiner) -> None:
    truth, image, blurred = square()
    assert iou(sharpen(blurred, image, refiner), truth) > iou(blurred, truth) + 0.1


@pytest.mark.parametrize("refiner", REFINERS)
def test_a_refiner_stays_within_probabilities(refiner: Refiner) -> None:
    generator = torch.Generator().manual_seed(0)
    prob = torch.rand(2, 20, 20, generator=generator)
    found = sharpen(prob, 255 * torch.rand(2, 1, 20, 20, generator=generator), refiner)
    assert found.min() >= 0
    assert found.max() <= 1


def test_nothing_left_of_a_defect_keeps_the_input() -> None:
    truth, image, blurred = square()
    lone = torch.full_like(blurred, 0.1)
    lone[0, 5, 5] = 0.6  # one doubtful pixel on plain steel
    kept, refined = refine(torch.cat((lone, blurred)), image.expand(2, -1, -1, -1), Crf())
    assert torch.equal(kept, lone[0])
    area = (refined > 0.5).float().mean()
    assert area.item() == pytest.approx(truth.float().mean().item(), rel=0.05)
    assert area < (blurred > 0.5).float().mean()


def test_an_image_without_foreground_stays_without() -> None:
    _, image, blurred = square()
    assert not (refine(torch.full_like(blurred, 0.1), image, Crf()) > 0.5).any()
