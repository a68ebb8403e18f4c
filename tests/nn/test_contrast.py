"""Contrastive losses: the formula as a double loop, who is an anchor, and that the features feel it."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.nn.losses.contrast import (
    Projection,
    hardest_feature,
    region_features,
    same_class,
    sup_con,
    triplet_loss,
)

CLASSES = torch.tensor([1, 1, 0, 0, 0, 1, 2])  # class 2 is alone


def points(count: int = 7, dim: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return F.normalize(torch.randn(count, dim, generator=generator, dtype=torch.float64), dim=1)


def double_loop(z: Tensor, positives: Tensor, temperature: float) -> float:
    terms: list[float] = []
    for i in range(len(z)):
        chosen = [p for p in range(len(z)) if positives[i, p]]
        if not chosen:
            continue
        below = sum(math.exp(float(z[i] @ z[a]) / temperature) for a in range(len(z)) if a != i)
        logs = [math.log(math.exp(float(z[i] @ z[p]) / temperature) / below) for p in chosen]
        terms.append(-sum(logs) / len(chosen))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("apart", [None, 1])
def test_sup_con_is_its_formula(temperature: float, apart: int | None) -> None:
    positives = same_class(CLASSES, apart)
    expected = double_loop(points(), positives, temperature)
    assert sup_con(points(), positives, temperature).item() == pytest.approx(expected, abs=1e-10)
    in_float32 = sup_con(points().float(), positives, temperature)
    assert in_float32.item() == pytest.approx(expected, abs=1e-5)


def test_positives_are_others_of_the_same_class() -> None:
    pairs = same_class(torch.tensor([1, 0, 1, 0]))
    assert pairs.nonzero().tolist() == [[0, 2], [1, 3], [2, 0], [3, 1]]
    assert same_class(torch.tensor([1, 0, 1, 0]), apart=1).nonzero().tolist() == [[1, 3], [3, 1]]


def test_an_anchor_without_positive_is_skipped_but_still_repels() -> None:
    z = points().requires_grad_()
    sup_con(z, same_class(CLASSES), 0.1).backward()
    assert z.grad is not None
    assert bool(z.grad[6].any())
    others = sup_con(points()[:6], same_class(CLASSES[:6]), 0.1)
    assert sup_con(points(), same_class(CLASSES), 0.1) > others


@pytest.mark.parametrize("count", [1, 3])
def test_without_any_pair_the_loss_is_zero_and_has_a_gradient(count: int) -> None:
    z = points(count).requires_grad_()
    classes = torch.arange(count)
    for loss in (sup_con(z, same_class(classes), 0.1), triplet_loss(z, classes, 0.3)):
        loss.backward()
        assert loss.item() == 0
    assert z.grad is not None
    assert bool(torch.isfinite(z.grad).all())


def test_triplet_loss_is_its_formula() -> None:
    z, margin = points(), 0.3
    distance = torch.cdist(z, z)
    terms = []
    for i in range(6):
        far = max(float(distance[i, p]) for p in range(7) if p != i and CLASSES[p] == CLASSES[i])
        near = min(float(distance[i, n]) for n in range(7) if CLASSES[n] != CLASSES[i])
        terms.append(max(0.0, margin + far - near))
    assert triplet_loss(z, CLASSES, margin).item() == pytest.approx(sum(terms) / 6, abs=1e-8)


def test_equal_points_of_one_class_leave_a_finite_gradient() -> None:
    z = points(1).expand(4, -1).clone().requires_grad_()
    triplet_loss(z, torch.tensor([0, 0, 1, 1]), 0.3).backward()
    assert z.grad is not None
    assert bool(torch.isfinite(z.grad).all())


def features() -> Tensor:
    return torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_region_features_by_hand() -> None:
    shown, shares = features(), torch.zeros(2, 1, 4, 5, dtype=torch.float64)
    shares[:, 0, 1, 2], shares[:, 0, 3, 3] = 1.0, 0.5
    shares[:, 0, 0, 0] = 0.1
    defect, around = region_features(shown, shares, background=0.2)
    total = 1 * shown[..., 1, 2] + 0.5 * shown[..., 3, 3] + 0.1 * shown[..., 0, 0]
    assert torch.allclose(defect, total / 1.6)
    others = shown.sum((2, 3)) - shown[..., 1, 2] - shown[..., 3, 3]
    assert torch.allclose(around, others / 18)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_flat_map_gives_the_mean_feature_twice(value: float) -> None:
    shown = features()
    for found in region_features(shown, torch.full((2, 1, 4, 5), value, dtype=torch.float64), 0.2):
        assert torch.allclose(found, shown.mean((2, 3)))


def test_hardest_feature_is_that_of_the_maps_highest_place() -> None:
    shown, shares = features(), torch.zeros(2, 1, 4, 5)
    shares[0, 0, 3, 1] = shares[1, 0, 0, 4] = 1
    expected = torch.stack((shown[0, :, 3, 1], shown[1, :, 0, 4]))
    assert torch.equal(hardest_feature(shown, shares), expected)


def test_projection_lies_on_the_unit_sphere() -> None:
    z = Projection(3, 8)(torch.rand(5, 3, generator=torch.Generator().manual_seed(0)))
    assert z.shape == (5, 8)
    assert torch.allclose(z.norm(dim=1), torch.ones(5), atol=1e-6)


def test_the_gradient_reaches_the_features_and_every_weight_of_the_projection() -> None:
    shown = features().float().requires_grad_()
    torch.manual_seed(0)  # of three rectified numbers all may be off
    project = Projection(3, 8)
    maps = shown.detach().mean(1, keepdim=True)
    regions = torch.cat((*region_features(shown, maps, 0.5), hardest_feature(shown, maps)))
    sup_con(project(regions), same_class(torch.tensor([1, 1, 0, 0, 0, 0])), 0.1).backward()
    assert shown.grad is not None
    assert shown.grad.norm() > 0
    assert all(p.grad is not None and p.grad.norm() > 0 for p in project.parameters())
