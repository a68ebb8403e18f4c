"""Pseudo labels: thresholds that read no mask, and what the image label alone makes certain."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.nn.choices import Cutoffs, Policy
from trainables.nn.labels.pseudo import area_threshold, otsu_threshold, pseudo_labels
from trainables.nn.layers.pooling import dilate


def smooth_maps(count: int = 3, size: tuple[int, int] = (48, 64)) -> Tensor:
    rng = np.random.default_rng(0)
    coarse = [cv2.resize(rng.random((6, 8)).astype(np.float32) ** 3, size[::-1]) for _ in range(count)]
    maps = torch.from_numpy(np.stack(coarse))
    return maps / maps.amax(dim=(1, 2), keepdim=True)


YES = torch.tensor([True])


def test_above_is_defect_below_is_background_between_is_unknown() -> None:
    ramp = torch.tensor([[[0.0, 0.2, 0.21, 0.49, 0.5, 1.0]]])
    assert pseudo_labels(ramp, YES, Cutoffs()).tolist() == [[[0, 0, 255, 255, 1, 1]]]


@pytest.mark.parametrize("policy", ["fixed", "otsu", "area_prior"])
def test_normal_images_are_background_everywhere(policy: Policy) -> None:
    labels = pseudo_labels(smooth_maps(), torch.tensor([True, False, True]), Cutoffs(policy))
    assert not labels[1].any()
    assert bool((labels[[0, 2]] == 1).any(dim=2).any(dim=1).all())
    assert set(labels.unique().tolist()) <= {0, 1, 255}


@pytest.mark.parametrize("policy", ["fixed", "otsu", "area_prior"])
def test_an_image_is_labelled_alone(policy: Policy) -> None:
    maps, positive = smooth_maps(), torch.ones(3, dtype=torch.bool)
    together = pseudo_labels(maps, positive, Cutoffs(policy))
    apart = [pseudo_labels(m[None], YES, Cutoffs(policy)) for m in maps]
    assert torch.equal(together, torch.cat(apart))


@pytest.mark.parametrize("policy", ["fixed", "otsu", "area_prior"])
@pytest.mark.parametrize("value", [0.0, 0.01])
def test_a_defective_image_is_never_empty(policy: Policy, value: float) -> None:
    faint = torch.zeros(1, 40, 50)
    faint[0, 3, 4:8] = value
    labels = pseudo_labels(faint, YES, Cutoffs(policy))
    kept = int((labels == 1).sum())
    if value and policy != "fixed":
        assert labels[0, 3, 4:8].tolist() == [1, 1, 1, 1]
    else:
        assert kept == 2  # 0.1 % of 2000 pixels
    if value:
        assert int((labels[0, 3, 4:8] == 1).sum()) == kept


def test_a_tiny_image_keeps_one_pixel() -> None:
    assert int(pseudo_labels(torch.zeros(1, 5, 5), YES, Cutoffs()).sum()) == 1


def test_otsu_is_that_of_opencv() -> None:
    maps = smooth_maps(4)
    levels = (maps * 255).byte()
    found = otsu_threshold((levels.float() + 0.5) / 256) * 256 - 1  # the lower class's last bin
    expected = [cv2.threshold(m.numpy(), 0, 255, cv2.THRESH_OTSU)[0] for m in levels]
    assert found.tolist() == expected


@pytest.mark.parametrize("share", [0.001, 0.05, 0.3])
def test_area_prior_marks_the_share_it_is_given(share: float) -> None:
    maps = smooth_maps()
    threshold = area_threshold(maps, share)[:, None, None]
    assert (maps >= threshold).float().mean((1, 2)).tolist() == pytest.approx([share] * 3, abs=2e-3)
    labels = pseudo_labels(maps, torch.ones(3, dtype=torch.bool), Cutoffs("area_prior", area=share))
    assert (labels == 1).float().mean((1, 2)).tolist() == pytest.approx([share] * 3, abs=2e-3)


def test_dilation_grows_a_mask_by_its_radius() -> None:
    mask = torch.zeros(1, 9, 9, dtype=torch.bool)
    mask[0, 4, 4] = True
    grown = dilate(mask, 2)
    assert bool(grown[0, 2:7, 2:7].all())
    assert int(grown.sum()) == 25
    assert torch.equal(dilate(mask, 0), mask)
