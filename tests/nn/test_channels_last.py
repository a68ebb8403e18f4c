"""Layers with a backward pass of their own: torch's values, torch's gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.nn.layers.channels_last import GroupNorm, PointwiseConv, enlarged

# images, channels, height, width, groups; sides that rows of numbers do not fit, one channel, one pixel
SHAPES = [(2, 8, 16, 16, 2), (3, 12, 7, 5, 3), (1, 18, 3, 11, 3), (2, 7, 6, 1, 1), (4, 4, 1, 1, 1)]


def _pair(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[GroupNorm, nn.GroupNorm, Tensor, Tensor]:
    """Our layer, torch's with the same weights, images whose mean is far from 0, an incoming gradient."""
    *size, groups = shape
    generator = torch.Generator().manual_seed(0)
    ours, theirs = GroupNorm(groups, size[1], dtype=dtype), nn.GroupNorm(groups, size[1], dtype=dtype)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    theirs.load_state_dict(ours.state_dict())
    images, gradient = (
        (torch.randn(size, generator=generator, dtype=dtype) + shift).to(memory_format=torch.channels_last)
        for shift in (3, 0)
    )
    return ours, theirs, images, gradient


def _gradients(layer: nn.Module, images: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    shown = images.clone().requires_grad_()
    layer(shown).backward(gradient)
    assert shown.grad is not None
    return {"x": shown.grad} | {name: p.grad for name, p in layer.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("shape", SHAPES)
def test_group_norm_and_its_gradients_are_torchs(shape: tuple[int, ...]) -> None:
    ours, theirs, images, gradient = _pair(shape, torch.float64)
    assert torch.equal(ours(images.clone().requires_grad_()), theirs(images))
    expected = _gradients(theirs, images, gradient)
    for name, found in _gradients(ours, images, gradient).items():
        assert torch.allclose(found, expected[name], rtol=1e-9, atol=1e-9), name


def test_group_norm_in_float32_is_no_further_from_the_truth_than_torchs() -> None:
    ours, theirs, images, gradient = _pair((4, 16, 64, 64, 4), torch.float32)
    exact = _gradients(theirs.double(), images.double(), gradient.double())
    theirs = nn.GroupNorm(4, 16)
    theirs.load_state_dict(ours.state_dict())
    by_torch = _gradients(theirs, images, gradient)
    for name, found in _gradients(ours, images, gradient).items():
        floor = 1e-6 * exact[name].abs().max()
        assert (found - exact[name]).abs().max() <= 2 * (by_torch[name] - exact[name]).abs().max() + floor, (
            name
        )


def test_a_second_derivative_of_group_norm_is_refused() -> None:
    ours, _, images, _ = _pair(SHAPES[0], torch.float64)
    shown = images.clone().requires_grad_()
    (first,) = torch.autograd.grad(ours(shown).square().sum(), shown, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_a_gradient_that_does_not_lie_channels_last_is_the_same() -> None:
    ours, theirs, images, gradient = _pair(SHAPES[0], torch.float64)
    found = _gradients(ours, images, gradient.contiguous())["x"]
    assert torch.allclose(found, _gradients(theirs, images, gradient)["x"])
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("inputs", "outputs"), [(8, 1), (16, 8), (3, 5)])
def test_a_pointwise_convolution_is_a_convolution(inputs: int, outputs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = PointwiseConv(inputs, outputs).double()
    images = torch.randn((2, inputs, 7, 9), generator=generator, dtype=torch.float64)
    shown = images.to(memory_format=torch.channels_last).requires_grad_()
    found = layer(shown)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(found, F.conv2d(images, layer.weight, layer.bias))
    gradient = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    plain = nn.Conv2d(inputs, outputs, 1).double()
    plain.load_state_dict(layer.state_dict())
    expected = _gradients(plain, images, gradient)
    for name, one in _gradients(layer, shown.detach(), gradient).items():
        assert torch.allclose(one, expected[name]), name


def test_prediction_is_torchs_own_to_the_bit() -> None:
    images = torch.rand((2, 8, 32, 32), generator=torch.Generator().manual_seed(0))
    shown = images.to(memory_format=torch.channels_last)
    norm, conv = GroupNorm(2, 8), PointwiseConv(8, 4)
    with torch.no_grad():
        assert torch.equal(norm(shown), F.group_norm(shown, 2, norm.weight, norm.bias))
        assert torch.equal(conv(shown), F.conv2d(shown, conv.weight, conv.bias))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["rows", "pixels"])
@pytest.mark.parametrize("size", [(16, 16), (13, 9)], ids=str)
def test_enlarged_maps_and_their_gradients_are_torchs_to_the_bit(
    size: tuple[int, int], layout: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 4, 8, 5, generator=generator).to(memory_format=layout)
    joined = torch.randn(2, 7, *size, generator=generator).to(memory_format=layout)

    def answers(enlarge: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        shown = maps.clone().requires_grad_()
        large = enlarge(shown)
        # The gradient of a part of joined maps is no packed tensor.
        torch.cat((joined[:, :3], large), dim=1).backward(joined)
        assert shown.grad is not None
        return large.detach(), shown.grad

    def by_torch(x_BChw: Tensor) -> Tensor:
        return F.interpolate(x_BChw, size=size, mode="bilinear", align_corners=False)

    for found, expected in zip(answers(lambda x: enlarged(x, size)), answers(by_torch), strict=True):
        assert torch.equal(found, expected)
        assert found.is_contiguous(memory_format=layout)
