"""Regions and their weights, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.regioncam.config import Regions
from trainables.regioncam.regions import find_regions, occlusion_scores, region_means, region_weights

SIZE = (16, 24)


def regions(kind: Any = "grid", **changes: Any) -> Regions:
    return Regions(**{"kind": kind, "size": 8, "score": "mean", "count": 4, "gamma": 1.0, **changes})


def halves() -> Tensor:
    """Two images, left half dark, right half bright; the second the other way round."""
    image = torch.full((1, 1, *SIZE), 0.2)
    image[..., 11:] = 0.8
    return torch.cat((image, image.flip(3)))


def no_classifier(_images: Tensor) -> Tensor:
    raise AssertionError("the mean asks no classifier")


def test_a_grid_is_numbered_row_by_row_and_cut_at_the_border() -> None:
    found = find_regions(torch.zeros(2, 1, 10, 20), torch.zeros(2, 10, 20), regions(size=8))
    assert found.shape == (2, 10, 20)
    assert [found[1, y, x].item() for y, x in ((0, 0), (7, 7), (0, 8), (7, 19), (8, 0), (9, 19))] == [
        0, 0, 1, 2, 3, 5,
    ]  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
def test_superpixels_end_at_edges_of_the_image(channels: int) -> None:
    images = halves().expand(-1, channels, -1, -1)
    found = find_regions(images, torch.zeros(2, *SIZE), regions("slic"))
    for image, labels in zip(images[:, 0], found, strict=True):
        assert labels.min() == 0
        for j in labels.unique():
            assert len(image[labels == j].unique()) == 1
    assert len(found.unique()) >= 4


def test_an_image_that_was_divided_before_is_divided_alike() -> None:
    first = find_regions(halves(), torch.zeros(2, *SIZE), regions("slic"))
    expected = first.clone()
    first.zero_()  # whoever gets a division may write into it
    assert torch.equal(find_regions(halves(), torch.zeros(2, *SIZE), regions("slic")), expected)
    coarser = find_regions(halves(), torch.zeros(2, *SIZE), regions("slic", size=12))
    assert not torch.equal(coarser, expected)


def test_components_are_the_connected_parts_of_what_is_high() -> None:
    map_BHW = torch.zeros(1, *SIZE)
    map_BHW[0, 2:5, 2:5] = 1
    map_BHW[0, 5, 5] = 0.9  # touches a corner
    map_BHW[0, 10:14, 15:20] = 0.8
    (found,) = find_regions(torch.zeros(1, 1, *SIZE), map_BHW, regions("components"))
    assert found.unique().tolist() == [0, 1, 2]
    assert found[3, 3] == found[5, 5] == 1
    assert (found == 2).sum() == 20
    assert (found[map_BHW[0] == 0] == 0).all()


def test_means_are_those_of_each_region_of_each_image() -> None:
    places = torch.tensor([[[0, 0, 1], [1, 1, 2]], [[0, 1, 1], [0, 0, 0]]])
    values = torch.arange(12.0).reshape(2, 2, 3)
    assert region_means(values, places).tolist() == [[0.5, 3, 5], [(6 + 9 + 10 + 11) / 4, 7.5, 0]]


def brightest(images: Tensor) -> Tensor:
    """A classifier by hand: the brightest pixel is its logit."""
    return images.amax(dim=(1, 2, 3))


def test_occlusion_finds_the_region_without_which_the_logit_falls() -> None:
    images = torch.full((2, 1, *SIZE), 0.5)
    images[0, :, 4, 4] = 1  # in region 0
    images[1, :, 12, 20] = 1  # in region 5
    places = find_regions(images, torch.zeros(2, *SIZE), regions())
    means = torch.zeros(2, 6)
    means[:, [0, 5]] = 1.0
    found = occlusion_scores(images, places, means, brightest, count=2)
    assert found[0].argmax() == 0
    assert found[1].argmax() == 5
    assert found.max(dim=1).values.tolist() == pytest.approx([0.5, 0.5], abs=0.01)
    assert found.sum(dim=1).tolist() == pytest.approx([0.5, 0.5], abs=0.01)


def test_occlusion_tries_the_regions_with_the_highest_means_only() -> None:
    images = torch.full((1, 1, *SIZE), 0.5)
    images[0, :, 4, 4] = 1
    places = find_regions(images, torch.zeros(1, *SIZE), regions())
    means = torch.tensor([[0.0, 1, 1, 1, 1, 1]])
    assert not occlusion_scores(images, places, means, brightest, count=2).any()
    assert occlusion_scores(images, places, means, brightest, count=99).argmax() == 0


def test_occlusion_never_paints_over_all_that_is_beside_the_components() -> None:
    images = torch.full((1, 1, *SIZE), 0.5)
    images[0, :, 15, 0] = 1  # the brightest pixel, outside
    images[0, :, 3, 3] = 0.9
    map_BHW = torch.zeros(1, *SIZE)
    map_BHW[0, 2:5, 2:5] = map_BHW[0, 10:14, 15:20] = 1
    rule = regions("components", score="occlusion")

    def classify(found: Tensor) -> Tensor:
        return brightest(found) + found[:, 0, 3, 3]

    places = find_regions(images, map_BHW, rule)
    (weight,) = region_weights(images, places, map_BHW, classify, rule)
    assert (weight[2:5, 2:5] == 1).all()
    assert weight[15, 0] == 0
    assert (weight[10:14, 15:20] < 0.05).all()


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_a_pixel_weighs_as_its_region_and_the_best_region_weighs_1(gamma: float) -> None:
    images, deep = torch.zeros(1, 1, *SIZE), torch.zeros(1, *SIZE)
    deep[0, :8, :8], deep[0, 8:, 16:] = 4, 1
    rule = regions(gamma=gamma)
    places = find_regions(images, deep, rule)
    (weight,) = region_weights(images, places, deep, no_classifier, rule)
    assert (weight[:8, :8] == 1).all()
    assert weight[8:, 16:].unique().tolist() == pytest.approx([0.25**gamma])
    assert (weight[:8, 8:] == 0).all()


@pytest.mark.parametrize("score", ["mean", "occlusion"])
def test_where_no_region_counts_the_map_stays(score: Any) -> None:
    images = torch.full((1, 1, *SIZE), 0.5)
    rule = regions(score=score)
    places = find_regions(images, torch.zeros(1, *SIZE), rule)
    assert (region_weights(images, places, torch.zeros(1, *SIZE), brightest, rule) == 1).all()
