"""The mean-field CRF: all pairs by brute force, symmetries, and that it reads the image."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.nn.blurred_square import iou, square
from trainables.nn.choices import Crf
from trainables.nn.labels.refine import label_probability, mean_field

CRF = Crf(s_rgb=20, radius=3, steps=5)


def scene(channels: int = 1, size: tuple[int, int] = (14, 18), count: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    prob = torch.rand(count, *size, generator=generator, dtype=torch.float64)
    images = 255 * torch.rand(count, channels, *size, generator=generator, dtype=torch.float64)
    return prob, images


def fully_connected(prob_HW: Tensor, image_CHW: Tensor, crf: Crf) -> Tensor:
    """The same model over all pairs of pixels, as N × N matrices."""
    height, width = prob_HW.shape
    grid = torch.cartesian_prod(torch.arange(height), torch.arange(width)).double()
    colours = image_CHW.expand(3, height, width).flatten(1).T
    square = torch.cdist(grid, grid).square()
    near = torch.exp(-square / (2 * crf.s_xy**2))
    unlike = torch.cdist(colours, colours).square()
    alike = torch.exp(-square / (2 * crf.s_far**2) - unlike / (2 * crf.s_rgb**2))
    pair = torch.zeros_like(near)
    for weight, kernel in ((crf.w_xy, near), (crf.w_rgb, alike)):
        kernel.fill_diagonal_(0)
        norm = kernel.sum(1).rsqrt()
        pair += weight * norm[:, None] * kernel * norm
    unary = torch.logit(prob_HW.flatten(), eps=1e-6)
    q = torch.sigmoid(unary)
    for _ in range(crf.steps):
        q = torch.sigmoid(unary + pair @ (2 * q - 1))
    return q.reshape(height, width)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_window_over_the_whole_image_is_the_fully_connected_crf(channels: int) -> None:
    prob, images = scene(channels)
    crf = replace(CRF, radius=18)
    expected = torch.stack([fully_connected(p, x, crf) for p, x in zip(prob, images, strict=True)])
    assert torch.allclose(mean_field(prob, images, crf), expected, atol=1e-10, rtol=0)


def test_without_weights_the_probabilities_stay() -> None:
    prob, images = scene()
    assert torch.allclose(mean_field(prob, images, replace(CRF, w_xy=0, w_rgb=0)), prob, atol=1e-12)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_a_mirrored_image_gives_the_mirrored_result(axis: int, dilation: int) -> None:
    prob, images = scene(3)
    crf = replace(CRF, dilation=dilation)
    mirrored = mean_field(prob.flip(axis), images.flip(axis + 1), crf)
    assert torch.allclose(mirrored.flip(axis), mean_field(prob, images, crf), atol=1e-12)


def test_images_of_a_batch_do_not_know_each_other() -> None:
    prob, images = scene(3)
    apart = [mean_field(prob[i : i + 1], images[i : i + 1], CRF) for i in range(2)]
    assert torch.allclose(mean_field(prob, images, CRF), torch.cat(apart), atol=1e-12)


@pytest.mark.parametrize("grey", [0.0, 200.0])
def test_a_constant_image_adds_no_edges(grey: float) -> None:
    prob, images = scene()
    blind = mean_field(prob, images, replace(CRF, s_rgb=1e9))
    assert torch.allclose(mean_field(prob, torch.full_like(images, grey), CRF), blind, atol=1e-12)


def test_recolouring_the_image_changes_the_result() -> None:
    prob, images = scene()
    recoloured = images.where(images > 128, 255 - images)
    assert (mean_field(prob, recoloured, CRF) - mean_field(prob, images, CRF)).abs().max() > 0.05


def test_a_grey_image_is_one_of_three_equal_channels() -> None:
    prob, images = scene()
    assert torch.allclose(
        mean_field(prob, images, CRF), mean_field(prob, images.expand(-1, 3, -1, -1), CRF), atol=1e-12
    )


def test_pixels_unlike_all_others_stay_as_they_are() -> None:
    prob, _ = scene(size=(5, 6))
    images = torch.arange(30.0, dtype=torch.float64).reshape(1, 1, 5, 6).expand(2, -1, -1, -1) * 8
    lonely = mean_field(prob, images, replace(CRF, w_xy=0, s_rgb=0.01))
    assert torch.allclose(lonely, prob, atol=1e-9)


@pytest.mark.parametrize("size", [(1, 1), (2, 40)])
def test_images_smaller_than_the_window_are_fine(size: tuple[int, int]) -> None:
    assert torch.isfinite(mean_field(*scene(size=size), CRF)).all()


def test_a_blurred_map_finds_the_edges_of_the_defect() -> None:
    truth, image, blurred = square()
    assert iou(blurred, truth) < 0.75
    assert iou(mean_field(blurred, image, Crf()), truth) > 0.98


def test_hard_labels_as_probabilities() -> None:
    labels = torch.tensor([[[0, 1, 255]]], dtype=torch.uint8)
    assert label_probability(labels, 0.7).flatten().tolist() == pytest.approx([0.3, 0.7, 0.5])
