"""Structural similarity and gradient magnitudes: their formulas pixel by pixel, and what they tell apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.nn.losses.ssim import msgms, msgms_map, psnr, ssim, ssim_map


def pair(channels: int = 1, size: tuple[int, int] = (12, 17)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 2, channels, *size, generator=generator, dtype=torch.float64)
    return a, (a + b) / 2


def ssim_by_loops(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wang et al. 2004 for one channel: an 11 × 11 Gaussian window around every pixel."""
    places = np.arange(-5, 6)
    window = np.exp(-(places[:, None] ** 2 + places**2) / (2 * 1.5**2))
    window /= window.sum()
    wide_a, wide_b = (np.pad(x, 5, mode="edge") for x in (a, b))
    found = np.zeros_like(a)
    for y, x in np.ndindex(a.shape):
        u, v = (w[y : y + 11, x : x + 11] for w in (wide_a, wide_b))
        mean_u, mean_v = (window * u).sum(), (window * v).sum()
        var_u, var_v = (window * (u - mean_u) ** 2).sum(), (window * (v - mean_v) ** 2).sum()
        both = (window * (u - mean_u) * (v - mean_v)).sum()
        found[y, x] = (2 * mean_u * mean_v + 1e-4) * (2 * both + 9e-4)
        found[y, x] /= (mean_u**2 + mean_v**2 + 1e-4) * (var_u + var_v + 9e-4)
    return found


def test_ssim_is_its_formula_at_every_pixel() -> None:
    a, b = pair()
    expected = [ssim_by_loops(u[0].numpy(), v[0].numpy()) for u, v in zip(a, b, strict=True)]
    np.testing.assert_allclose(ssim_map(a, b)[:, 0].numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(ssim(a, b).numpy(), np.mean(expected, axis=(1, 2)), atol=1e-10)


def gms_by_loops(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Xue et al. 2014: Prewitt gradients around every pixel."""
    across = np.array([[1, 0, -1]] * 3) / 3

    def slope(x: NDArray[np.float64], row: int, column: int) -> float:
        patch = np.pad(x, 1, mode="edge")[row : row + 3, column : column + 3]
        return float(np.hypot((patch * across).sum(), (patch * across.T).sum()))

    found, c = np.zeros_like(a), 170 / 255**2
    for y, x in np.ndindex(a.shape):
        u, v = slope(a, y, x), slope(b, y, x)
        found[y, x] = (2 * u * v + c) / (u * u + v * v + c)
    return found


def test_msgms_is_the_mean_over_four_sizes() -> None:
    a, b = (x[:1] for x in pair(size=(16, 24)))
    means, u, v = [], a[0, 0].numpy(), b[0, 0].numpy()
    for _ in range(3):
        means.append(gms_by_loops(u, v).mean())
        u, v = ((x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4 for x in (u, v))
    means.append(gms_by_loops(u, v).mean())
    assert msgms(a, b).item() == pytest.approx(np.mean(means), abs=1e-8)


@pytest.mark.parametrize("measure", [ssim, msgms])
@pytest.mark.parametrize("channels", [1, 3])
def test_equal_images_are_alike_and_unlike_ones_are_less(
    measure: Callable[[Tensor, Tensor], Tensor], channels: int
) -> None:
    a, b = pair(channels)
    assert torch.allclose(measure(a, a), torch.ones(2, dtype=torch.float64), atol=1e-12)
    assert bool((measure(a, b) < 0.99).all())
    assert torch.allclose(measure(a, b), measure(b, a), atol=1e-12)


@pytest.mark.parametrize("size", [(8, 8), (37, 50)])
def test_map_has_the_images_size_and_is_lowest_at_the_difference(size: tuple[int, int]) -> None:
    plain = torch.full((1, 3, *size), 0.5)
    marked = plain.clone()
    marked[..., 3:6, 3:6] = 0.1
    found = msgms_map(plain, marked)
    assert found.shape == (1, *size)
    row, column = divmod(int(found.argmin()), size[1])
    assert 2 <= row <= 6
    assert 2 <= column <= 6
    assert float(found.min()) < 0.5


def test_equal_images_leave_a_finite_gradient() -> None:
    a = torch.full((1, 1, 16, 16), 0.5, requires_grad=True)
    (ssim(a, torch.full_like(a, 0.5)) + msgms(a, torch.full_like(a, 0.5))).sum().backward()
    assert a.grad is not None
    assert bool(torch.isfinite(a.grad).all())


def test_psnr_by_hand() -> None:
    zeros = torch.zeros(2, 1, 4, 4)
    found = psnr(zeros, torch.stack((zeros[0] + 0.1, zeros[1] + 1)))
    assert found.tolist() == pytest.approx([20, 0], abs=1e-5)
