"""U-Net, input layers, pooling and initialisation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainables.data.samples import ImageSet
from trainables.nn.choices import ResNetShape
from trainables.nn.layers.initialisation import initialise
from trainables.nn.layers.inputs import LocalContrast, Standardise
from trainables.nn.layers.pooling import enlarge_cells, pool_map
from trainables.nn.layers.resnet import ResNet18s
from trainables.nn.layers.unet import PlainEncoder, UNet


def unet(encoder: str) -> UNet:
    if encoder == "plain":
        plain = PlainEncoder(1, 4, 3, "gn")
        return UNet(plain, plain.widths, "gn")
    shape = ResNetShape(channels=1, width=4, stem="tv", blocks=1, output_stride=16, norm="gn")
    return UNet(ResNet18s(shape), (shape.width, *shape.widths), "gn")


@pytest.mark.parametrize("encoder", ["plain", "resnet18s"])
@pytest.mark.parametrize("size", [(64, 96), (37, 50)])
def test_unet_gives_a_logit_per_pixel_whatever_the_sides(encoder: str, size: tuple[int, int]) -> None:
    output = unet(encoder)(torch.rand(2, 1, *size))
    assert output.map_BOHW.shape == (2, 1, *size)
    assert output.coarse_BKhw.shape[:2] == (2, 32)


@pytest.mark.parametrize("encoder", ["plain", "resnet18s"])
def test_every_weight_of_the_unet_takes_part(encoder: str) -> None:
    network = unet(encoder)
    network(torch.rand(1, 1, 64, 64)).map_BOHW.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def images(channels: int) -> ImageSet:
    rng = np.random.default_rng(0)
    pictures = {f"{i}": rng.integers(0, 256, (5 + i, 8, channels), np.uint8) // (i + 1) for i in range(3)}
    return ImageSet(tuple(pictures), np.zeros(3, np.bool_), pictures)


@pytest.mark.parametrize("channels", [1, 3])
def test_standardised_training_split_has_mean_0_and_deviation_1(channels: int) -> None:
    data, layer = images(channels), Standardise(channels)
    layer.measure(data)
    pixels = np.concatenate([sample.image.reshape(-1, channels) for sample in data]) / 255
    np.testing.assert_allclose(layer.mean.flatten(), pixels.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.std.flatten(), pixels.std(0), rtol=1e-6)
    shown = layer(torch.from_numpy(pixels.astype(np.float32)).T[None, :, :, None])
    assert torch.allclose(shown.mean((0, 2, 3)), torch.zeros(channels), atol=1e-5)
    assert torch.allclose(shown.std((0, 2, 3), correction=0), torch.ones(channels), atol=1e-5)


def test_a_split_of_one_grey_level_can_be_standardised() -> None:
    flat = ImageSet(("a",), np.zeros(1, np.bool_), {"a": np.full((4, 4, 1), 9, np.uint8)})
    layer = Standardise(1)
    layer.measure(flat)
    assert torch.isfinite(layer(torch.zeros(1, 1, 4, 4))).all()


def test_local_contrast_does_not_see_exposure_and_shading() -> None:
    layer = LocalContrast(4)
    texture = torch.rand(1, 1, 48, 64, generator=torch.Generator().manual_seed(0))
    shading = torch.linspace(0, 0.5, 64).expand(1, 1, 48, 64)
    plain, shaded = layer(texture), layer(0.5 * texture + shading)
    inner = (..., slice(12, -12), slice(12, -12))  # a repeated border bends the ramp
    assert torch.allclose(layer(0.5 * texture + 0.2), plain, atol=1e-4)
    assert torch.corrcoef(torch.stack((plain[inner].flatten(), shaded[inner].flatten())))[0, 1] > 0.999
    assert plain.abs().max() <= 3
    assert not layer(torch.full((1, 1, 48, 64), 0.5)).abs().gt(1e-3).any()


MAP = torch.tensor([[0.0, 1.0], [2.0, 5.0]]).reshape(1, 1, 2, 2)
LSE = math.log((1 + math.e**2 + math.e**4 + math.e**10) / 4) / 2  # r = 2


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ("gap", 2),
        ("gmp", 5),
        ("topk", 3.5),
        ("lse", LSE),
    ],
)
def test_poolings_by_hand(pool: str, expected: float) -> None:
    found = pool_map(MAP, pool, top_share=0.5, lse_r=2)  # pyright: ignore[reportArgumentType]
    assert found.tolist() == pytest.approx([expected])


def test_lse_lies_between_mean_and_maximum() -> None:
    values = [pool_map(MAP, "lse", top_share=1, lse_r=r).item() for r in (1e-3, 1, 10, 1000)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(2, abs=0.01)
    assert values[-1] == pytest.approx(5, abs=0.01)


@pytest.mark.parametrize("stride", [1, 2, 8])
def test_cell_i_is_put_at_pixel_stride_times_i(stride: int) -> None:
    cells = torch.arange(12.0).reshape(1, 1, 3, 4)
    large = enlarge_cells(cells, stride, (3 * stride, 4 * stride))
    assert torch.allclose(large[:, ::stride, ::stride], cells[:, 0])


def test_a_cell_of_the_backbone_looks_at_its_pixel() -> None:
    shape = ResNetShape(channels=1, width=4, stem="mid", stages=3, blocks=1, output_stride=8, norm="bn")
    network = ResNet18s(shape).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # every convolution a mean: what is seen is the field of view
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    image = torch.zeros(1, 1, 128, 128, requires_grad=True)
    network(image + 1)[0, :, 8, 9].sum().backward()
    assert image.grad is not None
    seen = image.grad[0, 0] / image.grad.sum()
    places = torch.arange(128.0)
    assert (seen.sum(1) @ places).item() == pytest.approx(64, abs=0.5)
    assert (seen.sum(0) @ places).item() == pytest.approx(72, abs=0.5)


def weights(blocks: int) -> dict[str, Tensor]:
    network = ResNet18s(ResNetShape(channels=1, width=4, blocks=blocks, norm="gn"))
    initialise(network, 5)
    return dict(network.state_dict())


def test_networks_that_differ_in_depth_start_equal_where_they_are_alike() -> None:
    short, long = weights(1), weights(2)
    assert short.keys() < long.keys()
    assert all(torch.equal(short[name], long[name]) for name in short)


def test_a_head_of_several_channels_starts_as_small_as_one_of_one() -> None:
    network = UNet(PlainEncoder(4, 8, 2, "gn"), (8, 16, 32), "gn", outputs=3)
    initialise(network, 0)
    assert network(torch.rand(1, 4, 16, 16)).map_BOHW.shape == (1, 3, 16, 16)
    assert float(network.head.weight.detach().abs().max()) <= 1 / math.sqrt(8)
