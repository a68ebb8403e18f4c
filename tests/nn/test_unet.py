"""The U-Net's image head: what it reads, where it starts, and what it teaches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainables.nn.layers.unet import ImageHead, PlainEncoder, UNet, prior_logit


def _unet() -> UNet:
    encoder = PlainEncoder(1, 4, 2, "gn")
    return UNet(encoder, encoder.widths, "gn")


def _images() -> Tensor:
    return torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def test_an_image_is_as_suspicious_as_its_most_suspicious_pixels() -> None:
    head = ImageHead(4, top_share=2 / 64)
    calm = torch.full((1, 1, 8, 8), -3.0)
    struck = calm.clone()
    struck[0, 0, 2, 3:5] = 5.0
    found = head(torch.cat((calm, struck)), torch.zeros(2, 4, 2, 2)).detach()
    assert (found[1] - found[0]).item() == pytest.approx(8.0)


def test_it_starts_with_even_odds_wherever_pixels_start() -> None:
    torch.manual_seed(0)
    head = ImageHead(4, top_share=0.1)
    logit = prior_logit(0.001, 10.0)
    head.start_at(logit)
    found = head(torch.full((3, 1, 8, 8), logit), torch.zeros(3, 4, 2, 2))
    assert logit == pytest.approx(-4.60, abs=0.01)
    assert found.tolist() == pytest.approx([0.0] * 3, abs=1e-6)


def test_a_net_that_is_told_to_starts_near_the_logit_that_suits_rare_defects() -> None:
    torch.manual_seed(0)
    network, after = _unet(), _unet()
    after.load_state_dict(network.state_dict())
    after.start_at(-4.6)
    moved = after(_images()).map_BOHW - network(_images()).map_BOHW
    assert network.head.bias is not None
    assert moved.detach().flatten().tolist() == pytest.approx(
        [-4.6 - network.head.bias.item()] * moved.numel()
    )


def test_left_alone_an_images_label_teaches_the_encoder_and_no_pixel() -> None:
    torch.manual_seed(0)
    network, head = _unet(), ImageHead(16, top_share=0.1)
    output = network(_images())
    head(output.map_BOHW, output.coarse_BKhw).sum().backward()
    assert all(weight.grad is None for weight in (*network.head.parameters(), *network.decoder.parameters()))
    assert all(weight.grad is not None and weight.grad.any() for weight in head.parameters())
    assert any(weight.grad is not None and weight.grad.any() for weight in network.encoder.parameters())


@pytest.mark.parametrize("reach", [0.25, 1.0])
def test_pixels_learn_from_an_images_label_by_its_reach_and_it_is_judged_the_same(reach: float) -> None:
    torch.manual_seed(0)
    head, coarse = ImageHead(4, top_share=2 / 64), torch.rand(3, 4, 2, 2)
    map_B1HW = torch.randn(3, 1, 8, 8, requires_grad=True)
    found = head(map_B1HW, coarse, reach)
    found.sum().backward()
    assert map_B1HW.grad is not None
    assert map_B1HW.grad.sum(dim=(1, 2, 3)).tolist() == pytest.approx([reach] * 3)
    assert found.equal(head(map_B1HW, coarse))
