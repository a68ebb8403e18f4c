"""Guided crops: the box holds what the map shows, and normal images are cropped alike."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.nn.cam.crops import box_areas, crop, guided_boxes, placed_boxes, remember_sizes

SIZE = (60, 80)


def boxes(*maps: Tensor, cut: float = 0.5, pad: float = 0.0, min_share: float = 0.0) -> list[list[int]]:
    stacked = torch.stack(maps)
    return guided_boxes(stacked, torch.full((len(maps),), cut), pad=pad, min_share=min_share).tolist()


def blob(top: int, left: int, height: int, width: int, value: float = 1.0) -> Tensor:
    made = torch.zeros(SIZE)
    made[top : top + height, left : left + width] = value
    return made


@pytest.mark.parametrize(("cut", "box"), [(0.5, [15, 30, 5, 6]), (0.3, [10, 20, 20, 30])])
def test_box_bounds_what_reaches_the_cut(cut: float, box: list[int]) -> None:
    faint = blob(10, 20, 20, 30, 0.4).maximum(blob(15, 30, 5, 6))
    assert boxes(faint, faint, cut=cut) == [box] * 2


@pytest.mark.parametrize(
    ("large", "small", "box"),
    [(1.0, 0.8, [30, 40, 10, 8]), (0.8, 1.0, [2, 2, 38, 46])],
    ids=["the largest has the peak", "another has the peak"],
)
def test_of_several_components_the_largest_is_taken_and_the_peak_is_never_left_out(
    large: float, small: float, box: list[int]
) -> None:
    assert boxes(blob(30, 40, 10, 8, large).maximum(blob(2, 2, 3, 3, small))) == [box]


@pytest.mark.parametrize("pad", [0.0, 0.1])
def test_box_holds_the_highest_place_of_the_map(pad: float) -> None:
    rng = np.random.default_rng(0)
    maps = torch.stack([torch.from_numpy(cv2.resize(rng.random((6, 8)), SIZE[::-1])) for _ in range(40)])
    found = guided_boxes(maps, torch.from_numpy(rng.uniform(0.4, 0.95, 40)), pad=pad, min_share=0.25)
    row, column = maps.flatten(1).argmax(1) // 80, maps.flatten(1).argmax(1) % 80
    top, left, height, width = found.unbind(1)
    assert bool(((top <= row) & (row < top + height) & (left <= column) & (column < left + width)).all())
    assert bool(((top >= 0) & (top + height <= 60) & (left >= 0) & (left + width <= 80)).all())
    assert found[:, 2:].unique(dim=0).shape[0] > 10


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_flat_map_falls_back_to_the_full_image(value: float) -> None:
    assert boxes(torch.full(SIZE, value), pad=0.1, min_share=0.25) == [[0, 0, *SIZE]]


@pytest.mark.parametrize(
    ("defect", "box"),
    [((20, 30, 10, 20), [19, 28, 12, 24]), ((0, 70, 10, 10), [0, 68, 12, 12])],
    ids=["inside", "at a corner"],
)
def test_padding_is_a_share_of_the_boxs_side_and_stays_in_the_image(
    defect: tuple[int, int, int, int], box: list[int]
) -> None:
    assert boxes(blob(*defect), pad=0.1) == [box]


@pytest.mark.parametrize(
    ("defect", "box"), [((30, 40, 3, 1), (24, 31, 15, 20)), ((59, 0, 1, 1), (45, 0, 15, 20))]
)
def test_a_small_defect_gets_the_least_side(defect: tuple[int, ...], box: tuple[int, ...]) -> None:
    assert boxes(blob(*defect), min_share=0.25) == [list(box)]


def test_normal_images_are_cropped_at_random_places_with_sizes_of_defective_ones() -> None:
    sizes = torch.tensor([[10, 20], [30, 8], [60, 80]])
    found = placed_boxes(sizes, 600, SIZE, np.random.default_rng(0))
    seen = {tuple(size) for size in found[:, 2:].tolist()}
    assert seen == {(10, 20), (30, 8), (60, 80)}
    small = found[found[:, 2] == 10]
    assert len(small) == pytest.approx(200, abs=50)
    assert (int(small[:, 0].min()), int(small[:, 0].max())) == (0, 50)  # every place, to the last
    assert (int(small[:, 1].min()), int(small[:, 1].max())) == (0, 60)


def test_before_any_defective_image_normal_ones_are_seen_whole() -> None:
    none = torch.zeros(0, 2, dtype=torch.int64)
    assert placed_boxes(none, 2, SIZE, np.random.default_rng(0)).tolist() == [[0, 0, *SIZE]] * 2


def test_only_the_latest_sizes_are_remembered() -> None:
    sizes = torch.zeros(0, 2, dtype=torch.int64)
    for height in range(1, 5):
        sizes = remember_sizes(sizes, torch.tensor([[0, 0, height, 9], [0, 0, height, 8]]), limit=3)
    assert sizes.tolist() == [[3, 8], [4, 9], [4, 8]]


def test_a_crop_of_the_whole_image_is_the_image() -> None:
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    whole = torch.tensor([[0, 0, *SIZE]] * 2)
    assert torch.allclose(crop(images, whole), images, atol=1e-4)


def test_a_crop_is_opencvs_enlargement_of_the_box() -> None:
    image = torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(0))
    found = crop(image, torch.tensor([[10, 20, 30, 40]]))[0, 0]
    expected = cv2.resize(image[0, 0, 10:40, 20:60].numpy(), (80, 60), interpolation=cv2.INTER_LINEAR)
    inner = slice(2, -2)  # at its edge the crop sees what lies beside the box, OpenCV does not
    np.testing.assert_allclose(found[inner, inner].numpy(), expected[inner, inner], atol=1e-4)


def test_each_image_has_its_own_box() -> None:
    images = torch.stack([blob(10, 20, 15, 20), blob(40, 10, 15, 20)])[:, None]
    found = crop(images, torch.tensor([[10, 20, 15, 20], [40, 10, 15, 20]]))
    assert bool((found[:, :, 4:-4, 4:-4] == 1).all())


def test_areas_are_shares_of_the_image() -> None:
    assert box_areas(torch.tensor([[0, 0, 30, 40], [0, 0, *SIZE]]), SIZE).tolist() == [0.25, 1]
