"""Losses of the baselines, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from trainables.supervised.loss import PixelTruth, dice_loss, image_loss, pixel_loss


def truth(*, mask: torch.Tensor, known: list[float], drawn: list[float]) -> PixelTruth:
    return PixelTruth(mask, torch.tensor(known), torch.tensor(drawn))


def test_image_loss_is_summed_over_images() -> None:
    assert image_loss(torch.zeros(3), torch.tensor([0.0, 1.0, 1.0])).item() == pytest.approx(3 * math.log(2))


def test_dice_of_a_right_map_is_0_and_of_a_wrong_one_nearly_1() -> None:
    mask = torch.zeros(2, 1, 8, 8)
    mask[:, :, 2:6, 2:6] = 1
    logits = torch.stack((200 * mask[0] - 100, 100 - 200 * mask[1]))
    right, wrong = dice_loss(logits, mask).tolist()
    assert right == pytest.approx(0, abs=1e-6)
    assert wrong == pytest.approx(1 - 1 / (48 + 16 + 1))


def test_pixel_loss_by_hand() -> None:
    mask = torch.zeros(1, 1, 2, 2)
    mask[0, 0, 0, 0] = 1
    logits = torch.zeros(1, 1, 2, 2)
    found = pixel_loss(logits, truth(mask=mask, known=[1], drawn=[1]), pos_weight=5, dice_weight=2)
    entropy = math.log(2) * (5 + 3) / 4
    dice = 1 - (2 * 0.5 + 1) / (2 + 1 + 1)
    assert found.item() == pytest.approx(entropy + 2 * dice)


def test_an_image_whose_mask_is_withheld_teaches_no_pixel() -> None:
    logits = torch.zeros(3, 1, 4, 4, requires_grad=True)
    mask = torch.zeros(3, 1, 4, 4)
    mask[0, 0, 1, 1] = 1
    of = truth(mask=mask, known=[1, 0, 1], drawn=[1, 0, 0])  # drawn, withheld, normal
    pixel_loss(logits, of, pos_weight=5, dice_weight=1).backward()
    assert logits.grad is not None
    assert [bool(grad.any()) for grad in logits.grad] == [True, False, True]


def test_dice_counts_where_there_is_a_defect() -> None:
    logits = torch.zeros(1, 1, 4, 4)
    normal = truth(mask=torch.zeros(1, 1, 4, 4), known=[1], drawn=[0])
    assert pixel_loss(logits, normal, pos_weight=5, dice_weight=9).item() == pytest.approx(math.log(2))
