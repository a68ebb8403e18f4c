"""Labels of pixels: what masks say of them, and what they teach, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.supervised.surfaces import SIZE, surfaces
from trainables.nn.batches.augmentation import Augmentation
from trainables.nn.labels.pixels import PixelMaps, defect_share, label_loss, mask_labels


def test_what_is_known_of_pixels_follows_the_masks() -> None:
    images = surfaces(3, 2, masks=2)
    empty = {**images.masks, images.ids[1]: np.zeros(SIZE, np.uint8)}  # defective, and nothing is drawn
    images = replace(images, masks=empty)
    labels = mask_labels(images, SIZE)
    batch = PixelMaps(labels, images.ids, SIZE, torch.device("cpu")).batch(
        range(5), Augmentation.draw(5, "none", 0, np.random.default_rng(0))
    )
    assert (batch == 1).sum(dim=(1, 2)).tolist() == [64, 0, 0, 0, 0]
    assert [bool((image == 255).all()) for image in batch] == [False, True, True, False, False]
    assert defect_share(labels, images) == 64 / (2 * SIZE[0] * SIZE[1])  # half of a batch is normal


def test_of_masks_that_cover_all_images_a_pixel_is_left_to_the_background() -> None:
    images = surfaces(2, 0)
    images = replace(images, masks=dict.fromkeys(images.ids, np.ones(SIZE, np.uint8)))
    pixels = 2 * SIZE[0] * SIZE[1]
    assert defect_share(mask_labels(images, SIZE), images) == (pixels - 1) / pixels


def test_label_loss_by_hand() -> None:
    labels = torch.zeros(1, 2, 2, dtype=torch.uint8)
    labels[0, 0, 0] = 1
    entropy = math.log(2) * (5 + 3) / 4
    dice = 1 - (2 * 0.5 + 1) / (2 + 1 + 1)
    assert label_loss(torch.zeros(1, 2, 2), labels, pos_weight=5, dice_weight=2).tolist() == pytest.approx(
        [entropy + 2 * dice]
    )


def test_dice_of_a_right_map_is_0_and_of_a_wrong_one_nearly_1() -> None:
    labels = torch.zeros(2, 8, 8, dtype=torch.uint8)
    labels[:, 2:6, 2:6] = 1
    logits = 200.0 * labels - 100
    logits[1] *= -1
    dice = label_loss(logits, labels, pos_weight=1, dice_weight=1) - label_loss(
        logits, labels, pos_weight=1, dice_weight=0
    )
    assert dice[0].item() == pytest.approx(0, abs=1e-6)
    assert dice[1].item() == pytest.approx(1 - 1 / (48 + 16 + 1), abs=1e-5)


def test_an_image_whose_mask_is_withheld_teaches_no_pixel() -> None:
    logits = torch.zeros(3, 4, 4, requires_grad=True)
    labels = torch.zeros(3, 4, 4, dtype=torch.uint8)
    labels[0, 1, 1], labels[1] = 1, 255  # drawn, withheld, normal
    label_loss(logits, labels, pos_weight=5, dice_weight=1).sum().backward()
    assert logits.grad is not None
    assert [bool(grad.any()) for grad in logits.grad] == [True, False, True]


def test_unknown_pixels_teach_nothing() -> None:
    logits = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.zeros(2, 6, 6, dtype=torch.uint8)
    labels[:, :3], labels[:, 3] = 255, 1
    label_loss(logits, labels, pos_weight=10, dice_weight=1).sum().backward()
    assert logits.grad is not None
    assert not logits.grad[:, :3].any()
    assert logits.grad[:, 3:].all()


def test_dice_counts_where_there_is_a_defect() -> None:
    normal = torch.zeros(1, 4, 4, dtype=torch.uint8)
    loss = label_loss(torch.zeros(1, 4, 4), normal, pos_weight=5, dice_weight=9)
    assert loss.item() == pytest.approx(math.log(2))
