"""Convolutions in tiles: torch's values and gradients, in the precision of torch's own."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.nn.test_same_conv import answers, drawn, plain
from trainables.nn.layers.same_conv import SameConv, plan_conv
from trainables.nn.layers.winograd import convolve_tiles, tile_transforms


@settings(max_examples=30, deadline=None)
@given(shape=st.tuples(*(st.integers(1, most) for most in (3, 3, 5, 20, 19))), band=st.integers(1, 24))
def test_tiles_give_torchs_values_and_gradients(shape: tuple[int, ...], band: int) -> None:
    images, inputs, outputs, *size = shape
    maps = drawn(images, inputs, *size, dtype=torch.float64)
    weight = drawn(outputs, inputs, 5, 5, dtype=torch.float64, seed=1)
    gradient = drawn(images, outputs, *size, dtype=torch.float64, seed=2)
    expected = answers(plain, maps, weight, gradient)
    found = answers(partial(convolve_tiles, band=band), maps, weight, gradient)
    for mine, torchs in zip(found, expected, strict=True):
        assert torch.allclose(mine, torchs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(160, 58), (64, 64)], ids=str)
def test_float32_is_near_to_float64(size: tuple[int, int], layout: torch.memory_format) -> None:
    maps = drawn(2, 32, *size).to(memory_format=layout)
    weight = drawn(64, 32, 5, 5, seed=1).to(memory_format=layout)
    gradient = drawn(2, 64, *size, seed=2).to(memory_format=layout)
    exact = answers(plain, *(tensor.double() for tensor in (maps, weight, gradient)))
    found = answers(partial(convolve_tiles, band=plan_conv(size, 5, 32, 64).band), maps, weight, gradient)
    for limit, mine, true in zip((2e-6, 2e-6, 5e-6), found, exact, strict=True):
        assert (mine - true).norm() < limit * true.norm()


def test_a_tiles_matrices_are_a_convolution_of_its_eight_cells() -> None:
    cells, kernel, back = tile_transforms(torch.float64)
    seen, weights = drawn(8, dtype=torch.float64), drawn(5, dtype=torch.float64, seed=1)
    expected = torch.stack([(seen[i : i + 5] * weights).sum() for i in range(4)])
    assert torch.allclose(back.T @ ((cells @ seen) * (kernel @ weights)), expected, rtol=1e-12)


def test_a_batch_has_the_bits_of_its_images_one_by_one() -> None:
    conv, maps = SameConv(32, 64, 5), drawn(3, 32, 40, 33)
    with torch.no_grad():
        assert conv.plan(40, 33).way == "tiles"
        assert torch.equal(conv(maps), torch.cat([conv(image) for image in maps.split(1)]))


@pytest.mark.parametrize("size", [(320, 116), (160, 58), (32, 32), (1, 4096)], ids=str)
def test_what_tiles_see_at_a_time_is_bounded(size: tuple[int, int]) -> None:
    plan = plan_conv(size, 5, 64, 64)
    assert 1 <= plan.band <= size[0]
    assert plan.band == 1 or 2 * 4 * 64 * plan.band * size[1] <= 3.1 * 2**20


@pytest.mark.parametrize(("maps_train", "weight_trains"), [(True, False), (False, True)])
def test_a_gradient_that_is_not_asked_for_changes_no_other(maps_train: bool, weight_trains: bool) -> None:
    maps, weight, gradient = drawn(2, 2, 20, 11), drawn(3, 2, 5, 5, seed=1), drawn(2, 3, 20, 11, seed=2)
    _, *both = answers(partial(convolve_tiles, band=8), maps, weight, gradient)
    maps.requires_grad_(maps_train)
    weight.requires_grad_(weight_trains)
    convolve_tiles(maps, weight, 8).backward(gradient)
    for tensor, trains, expected in ((maps, maps_train, both[0]), (weight, weight_trains, both[1])):
        assert (tensor.grad is not None) == trains
        assert tensor.grad is None or torch.equal(tensor.grad.double(), expected)
