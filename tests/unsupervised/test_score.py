"""From maps to numbers in [0, 1]."""

from __future__ import annotations

import pytest
import torch

from trainables.unsupervised.score import Saturation, image_score


def test_the_score_of_a_map_of_25_pixels_by_hand() -> None:
    """Windows of 21 have 5 × 5 places. The corner pixel lies in one of them, the middle one in all."""
    maps = torch.zeros(3, 25, 25)
    maps[0, 12, 12] = 441  # mean of every window: 1
    maps[1, 0, 0], maps[1, 24, 24] = 441, 882  # means of two windows: 1 and 2
    maps[2] = 4
    found = image_score(maps, 21, normalised=True)
    expected = [1 / (1 + 441 / 625), 2 / (1 + 1323 / 625), 4 / 5]
    assert found.score_B.tolist() == pytest.approx(expected, rel=1e-6)
    assert found.score_B.dtype == torch.float64
    assert not found.clamped_B.any()
    assert image_score(maps, 21, normalised=False).score_B.tolist() == pytest.approx([1, 2, 4])


def test_a_low_mean_does_not_turn_the_score_round_and_is_counted() -> None:
    maps = torch.full((2, 25, 25), -2.0)
    maps[1] = 0
    maps[:, 12, 12] = 4410
    found = image_score(maps, 21, normalised=True)
    assert found.clamped_B.tolist() == [False, False]  # 4410 lifts the mean by 7
    maps[0] = -2
    found = image_score(maps, 21, normalised=True)
    assert found.clamped_B.tolist() == [True, False]
    assert found.score_B[0].item() == pytest.approx(-2 / 0.1)


def test_saturation_keeps_every_order_and_has_a_half_at_the_quantile() -> None:
    scale = Saturation()
    scale.measure(torch.arange(101.0), 0.9)
    values = torch.tensor([-1e6, -3, 0, 50, 89, 90, 91, 1e3, 1e6, 1.00001e6], dtype=torch.float64)
    found = scale(values)
    assert (found.diff() > 0).all()
    assert found[0] >= 0
    assert found[-1] <= 1
    assert scale(torch.tensor([50.0, 90.0])).tolist() == [0.25, 0.5]


def test_saturation_of_equal_values_is_finite() -> None:
    scale = Saturation()
    scale.measure(torch.zeros(10), 0.9)
    assert scale(torch.tensor([-1.0, 0.0, 1.0])).tolist() == pytest.approx([0, 0.5, 1], abs=1e-5)
