"""Inpainting: what masks hide and cover, that a fill stays in its hole, and that training makes it better."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.nn.labels.inpaint import (
    Inpainter,
    blob_masks,
    draw_masks,
    grid_masks,
    inpaint_batch,
    inpainting_losses,
    reconstruct,
    telea,
)
from trainables.nn.layers.initialisation import initialise

SIZE = (40, 56)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def textures(count: int, channels: int = 1, seed: int = 0) -> Tensor:
    """Stripes of random phase: what a hole shows can be told from around it."""
    phase = torch.from_numpy(rng(seed).uniform(0, 6.3, (count, channels, 1, 1)).astype(np.float32))
    stripes = torch.sin(torch.arange(SIZE[1]) / 3 + phase).expand(-1, -1, SIZE[0], -1)
    return (0.5 + 0.3 * stripes).contiguous()


def made(channels: int = 1) -> Inpainter:
    inpainter = Inpainter(channels, base=8, levels=2)
    initialise(inpainter, 0)
    return inpainter


@pytest.mark.parametrize("cell", [2, 4, 8, 16])
def test_masks_of_a_grid_are_disjoint_and_cover_the_image(cell: int) -> None:
    masks = grid_masks(5, SIZE, cell, rng())
    assert masks.shape == (3, 5, *SIZE)
    assert bool((masks.sum(0) == 1).all())
    cells = masks[..., ::cell, ::cell].sum((2, 3))
    assert int(cells.max() - cells.min()) <= 1
    whole = masks[:, :, : 40 // cell * cell, : 56 // cell * cell]
    assert bool(F.avg_pool2d(whole.float(), cell).unique().tolist() == [0, 1])
    assert not torch.equal(masks[:, 0], masks[:, 1])


def test_blobs_have_the_area_asked_for_and_are_in_one_piece_or_few() -> None:
    masks = blob_masks(40, SIZE, rng())
    assert masks.shape == (1, 40, *SIZE)
    shares = masks.float().mean((0, 2, 3))
    assert 0.01 <= float(shares.min()) < 0.02
    assert 0.2 < float(shares.max()) <= 0.3 + 1 / (40 * 56)
    edges = (masks[..., 1:] != masks[..., :-1]).float().mean()
    assert float(edges) < 0.05  # pixels drawn one by one would have 0.2


def test_a_step_draws_grids_and_blobs() -> None:
    generator = rng()
    assert {len(draw_masks(1, SIZE, generator)) for _ in range(12)} == {1, 3}


def test_the_same_generator_draws_the_same_masks() -> None:
    assert torch.equal(draw_masks(2, SIZE, rng(3)), draw_masks(2, SIZE, rng(3)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["network", "telea"])
def test_a_fill_leaves_every_pixel_outside_the_hole_as_it_was(kind: str, channels: int) -> None:
    fill: Callable[[Tensor, Tensor], Tensor] = made(channels).eval().fill if kind == "network" else telea
    images, mask = textures(3, channels), blob_masks(3, SIZE, rng())[0]
    filled = fill(images, mask)
    outside = (~mask[:, None]).expand_as(images)
    assert torch.equal(filled[outside], images[outside])
    assert not torch.equal(filled, images)
    assert 0 <= float(filled.min()) <= float(filled.max()) <= 1


def test_the_network_does_not_see_what_the_mask_hides() -> None:
    inpainter, mask = made().eval(), blob_masks(1, SIZE, rng())[0]
    images = textures(1)
    other = torch.where(mask[:, None], torch.rand_like(images), images)
    inside = mask[:, None]
    assert torch.equal(inpainter.fill(images, mask)[inside], inpainter.fill(other, mask)[inside])


def test_telea_fills_a_scratch_on_plain_steel() -> None:
    images, mask = torch.full((2, 1, *SIZE), 0.6), torch.zeros(2, *SIZE, dtype=torch.bool)
    mask[:, 10:14, 5:50] = True
    scratched = images.masked_fill(mask[:, None], 0.0)
    assert torch.allclose(telea(scratched, mask), images, atol=2.5 / 255)  # it works in whole grey levels


def test_a_reconstruction_puts_together_the_fills_of_all_masks() -> None:
    inpainter, images = made().eval(), textures(2)
    masks = grid_masks(2, SIZE, 8, rng())
    with torch.no_grad():
        whole = reconstruct(inpainter, images, masks)
        for mask in masks:
            assert torch.allclose(whole[mask[:, None]], inpainter(images, mask)[mask[:, None]], atol=1e-6)


def test_a_perfect_reconstruction_costs_nothing() -> None:
    images = textures(2, 3)
    for loss in inpainting_losses(images, images):
        assert torch.allclose(loss, torch.zeros(2), atol=1e-5)
    other = torch.zeros_like(images)
    assert all(bool((loss > 0.1).all()) for loss in inpainting_losses(images, other))


def test_gradients_of_two_parts_of_a_batch_add_up_to_those_of_the_batch() -> None:
    images, masks = textures(4), grid_masks(4, SIZE, 8, rng())
    whole, parts = made(), made()
    sums = inpaint_batch(whole, images, masks, 4)
    halves = [inpaint_batch(parts, images[i : i + 2], masks[:, i : i + 2], 4) for i in (0, 2)]
    for name, value in sums.items():
        assert torch.allclose(value, halves[0][name] + halves[1][name], atol=1e-5), name
    total, *terms = sums.values()
    assert len(terms) == 3
    assert total.item() == pytest.approx(float(sum(terms)), abs=1e-5)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.allclose(a.grad, b.grad, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_training_lets_the_fill_come_closer(channels: int) -> None:
    inpainter, generator = made(channels), rng(1)
    optimiser = torch.optim.Adam(inpainter.parameters(), lr=3e-3)
    held_out, hole = textures(4, channels, seed=9), blob_masks(4, SIZE, rng(9))[0]

    def error() -> float:
        return float(
            (inpainter.fill(held_out, hole) - held_out).abs()[hole[:, None].expand_as(held_out)].mean()
        )

    before, losses = error(), []
    for step in range(30):
        optimiser.zero_grad()
        images = textures(4, channels, seed=100 + step)
        losses.append(float(inpaint_batch(inpainter, images, draw_masks(4, SIZE, generator), 4)["loss"]))
        optimiser.step()
    assert np.mean(losses[-8:]) < 0.5 * np.mean(losses[:4])
    assert error() < 0.5 * before
