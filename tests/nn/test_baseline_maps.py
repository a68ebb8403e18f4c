"""Baseline maps: they see what their name says and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.metrics import average_precision_score

from trainables.nn.cam.activation import (
    blur_residual,
    centre_prior,
    map_times_residual,
    random_maps,
)
from trainables.nn.layers.blur import gaussian_blur

SIZE = (40, 61)


def test_random_maps_find_defects_at_their_share() -> None:
    maps = random_maps(20, SIZE, np.random.default_rng(0))
    truth = torch.zeros(20, *SIZE)
    truth[:, 5:15, 10:30] = 1
    share = float(truth.mean())
    assert average_precision_score(truth.flatten(), maps.flatten()) == pytest.approx(share, rel=0.1)
    assert torch.equal(maps, random_maps(20, SIZE, np.random.default_rng(0)))


def test_centre_prior_is_symmetric_and_highest_in_the_middle() -> None:
    prior = centre_prior(2, SIZE)
    assert torch.allclose(prior, prior.flip(1, 2), atol=1e-6)
    assert divmod(int(prior[0, 20:].argmax()), 61) == (0, 30)
    assert torch.equal(prior[0], prior[1])
    assert float(prior[0, 0, 0]) < 0.05


def test_blur_residual_ignores_brightness_and_finds_what_differs() -> None:
    images = torch.full((2, 3, *SIZE), 0.4)
    images[1] += 0.2
    assert not blur_residual(images).gt(1e-6).any()
    images[:, :, 20:24, 30:34] -= 0.3
    found = blur_residual(images)
    assert torch.allclose(found[0], found[1], atol=1e-6)
    assert bool((found[0, 20:24, 30:34] > 0.2).all())
    assert float(found[0, :10].max()) < 0.05


def test_map_times_residual_is_the_geometric_mean() -> None:
    a, b = torch.tensor([[[0.25, 0.0, 1.0]]]), torch.tensor([[[1.0, 1.0, 0.09]]])
    assert map_times_residual(a, b).flatten().tolist() == pytest.approx([0.5, 0, 0.3])


def test_a_gaussian_keeps_the_mean_and_spreads_a_point_by_its_width() -> None:
    point = torch.zeros(1, 2, 61, 61, dtype=torch.float64)
    point[:, 0, 30, 30] = 1
    blurred = gaussian_blur(point, 4)
    places = torch.arange(61.0, dtype=torch.float64) - 30
    assert blurred[0, 0].sum().item() == pytest.approx(1)
    assert (blurred[0, 0].sum(0) @ places.square()).sqrt().item() == pytest.approx(4, rel=0.02)
    assert not blurred[0, 1].any()


@pytest.mark.parametrize(("sigma", "size"), [(1.0, (9, 31)), (4.0, (40, 24)), (12.0, (20, 50))])
def test_blur_is_scipys_with_a_repeated_border(sigma: float, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((2, 1, *size))
    radius = round(3 * sigma)
    expected = [gaussian_filter(one[0], sigma, mode="nearest", radius=radius) for one in image]
    assert np.abs(gaussian_blur(torch.from_numpy(image), sigma)[:, 0].numpy() - expected).max() < 1e-12
