"""The constant shift of a net's maps is found without masks, and taken out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.nn.cam.activation import best_offset, minmax, offset_scores, recentre
from trainables.nn.layers.blur import gaussian_blur

SIZE = (64, 80)


def scene(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images of noise with a dark spot each, and a blurred map of the spot."""
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.normal(0.5, 0.03, (count, *SIZE)))
    spots = torch.zeros_like(images)
    for spot in spots:
        y, x = rng.integers(16, 48), rng.integers(16, 64)
        spot[y : y + 4, x : x + 4] = 1
    images -= 0.3 * spots
    return images, gaussian_blur(spots[:, None], 6)[:, 0]


def residual(images: Tensor) -> Tensor:
    return (images - gaussian_blur(images[:, None], 15)[:, 0]).abs()


@pytest.mark.parametrize("planted", [(0, 0), (-9, 2), (4, 12), (-12, -12)])
def test_a_planted_offset_is_found_within_two_pixels(planted: tuple[int, int]) -> None:
    images, maps = scene(12, 0)
    shifted = recentre(maps, -planted[0], -planted[1])
    found = best_offset(offset_scores(minmax(shifted), residual(images)).sum(0))
    assert abs(found.dy - planted[0]) <= 2
    assert abs(found.dx - planted[1]) <= 2
    assert found.unmoved < 1 or planted == (0, 0)


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (4, -4), (-3, 2), (-4, -4)])
def test_score_of_an_offset_is_the_sum_of_products_by_hand(dy: int, dx: int) -> None:
    rng = np.random.default_rng(1)
    maps, residuals = torch.from_numpy(rng.random((2, 3, 9, 7)))
    scores = offset_scores(maps, residuals, reach=4).sum(0)
    total = sum(
        float(maps[n, y - dy, x - dx] * residuals[n, y, x] ** 2)
        for n, y, x in np.ndindex(3, 9, 7)
        if 0 <= y - dy < 9 and 0 <= x - dx < 7
    )
    assert scores[4 + dy, 4 + dx].item() == pytest.approx(total, abs=1e-12)


def test_an_image_has_the_same_scores_in_any_batch() -> None:
    images, maps = scene(6, 2)
    whole = offset_scores(maps, residual(images))
    parts = [offset_scores(maps[i:j], residual(images)[i:j]) for i, j in ((0, 1), (1, 3), (3, 6))]
    assert torch.allclose(whole, torch.cat(parts))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_maps_that_say_nothing_stay_where_they_are(value: float) -> None:
    images, maps = scene(2, 3)
    scores = offset_scores(minmax(torch.full_like(maps, value)), residual(images)).sum(0)
    assert best_offset(scores) == (0, 0, 1.0)


@pytest.mark.parametrize(
    ("down", "right", "expected"),
    [
        (1, 0, [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]),
        (0, -2, [[2, 3, 3, 3], [6, 7, 7, 7], [10, 11, 11, 11]]),
        (0, 0, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]),
    ],
)
def test_what_a_move_brings_in_is_the_borders_value(down: int, right: int, expected: list[list[int]]) -> None:
    maps = torch.arange(12.0).reshape(1, 3, 4)
    assert recentre(maps, down, right).tolist() == [expected]
