"""The shared backbone: torchvision's names, strides as asked, ReLUs that hooks can see."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from trainables.nn.choices import ResNetShape, Stem
from trainables.nn.layers.norm import norm_layer
from trainables.nn.layers.resnet import ResNet18s


def published_names() -> list[str]:
    """The state dict of torchvision's resnet18, written out from its layout."""

    def norm(name: str) -> list[str]:
        keys = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return [f"{name}.{key}" for key in keys]

    names = ["conv1.weight", *norm("bn1")]
    for stage, block in product((1, 2, 3, 4), (0, 1)):
        of = f"layer{stage}.{block}"
        names += [f"{of}.conv1.weight", *norm(f"{of}.bn1"), f"{of}.conv2.weight", *norm(f"{of}.bn2")]
        if stage > 1 and block == 0:
            names += [f"{of}.downsample.0.weight", *norm(f"{of}.downsample.1")]
    return names


def test_full_network_has_the_published_entries_in_their_order_but_those_of_fc() -> None:
    with torch.device("meta"):
        state = ResNet18s(ResNetShape(output_stride=32)).state_dict()
    assert list(state) == published_names()
    assert len(state) == 120
    assert state["conv1.weight"].shape == (64, 3, 7, 7)
    assert state["layer4.0.downsample.0.weight"].shape == (512, 256, 1, 1)
    assert sum(t.numel() for name, t in state.items() if "running" not in name and t.dim()) == 11_176_512


@pytest.mark.parametrize(
    ("stem", "stages", "strides"),
    [("tv", 4, (8, 16, 32)), ("tv", 3, (4, 8, 16)), ("mid", 3, (2, 4, 8)), ("small", 4, (1, 2, 8))],
)
def test_output_stride_is_the_total_one(stem: Stem, stages: int, strides: tuple[int, ...]) -> None:
    for stride in strides:
        shape = ResNetShape(channels=1, width=4, stem=stem, stages=stages, blocks=1, output_stride=stride)
        network = ResNet18s(shape)
        maps = network.features(torch.zeros(2, 1, 64, 96))
        assert maps[-1].shape == (2, 4 << (stages - 1), 64 // stride, 96 // stride)
        assert [64 // m.shape[2] for m in maps[1:]] == list(shape.strides)
        assert network(torch.zeros(2, 1, 64, 96)).shape == maps[-1].shape


@pytest.mark.parametrize(("stem", "stages", "stride"), [("small", 4, 16), ("tv", 4, 2), ("mid", 3, 16)])
def test_a_stride_that_cannot_be_reached_is_refused(stem: Stem, stages: int, stride: int) -> None:
    with pytest.raises(ValueError, match="give an output_stride of"):
        ResNetShape(stem=stem, stages=stages, output_stride=stride)


def test_every_relu_is_a_site_of_its_own_and_writes_to_a_new_tensor() -> None:
    network = ResNet18s(ResNetShape(channels=1, width=4))
    sites = [module for module in network.modules() if isinstance(module, nn.ReLU)]
    assert len(sites) == 1 + 4 * 2 * 2
    assert not any(site.inplace for site in sites)
    calls: list[nn.Module] = []
    for site in sites:
        site.register_forward_hook(lambda module, _inputs, _output: calls.append(module))
    network(torch.zeros(1, 1, 32, 32))
    assert calls == sites


@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_a_strided_shortcut_has_right_gradients_with_channels_last(width: int) -> None:
    """oneDNN's own backward pass of few channels crashes or errs on some processors."""
    torch.manual_seed(0)
    images = torch.randn(6, 1, 48, 64)
    network = ResNet18s(ResNetShape(1, width, "mid", stages=2, blocks=1, output_stride=4))
    exact = ResNet18s(network.shape).double()
    exact.load_state_dict(network.state_dict())
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    exact(images.double()).square().sum().backward()  # float64 is none of oneDNN's
    for _ in range(20):
        network.zero_grad()
        network(images).square().sum().backward()
    weight, expected = (net.get_submodule("layer2.0.downsample.0").weight.grad for net in (network, exact))
    assert isinstance(weight, torch.Tensor)
    assert isinstance(expected, torch.Tensor)
    assert torch.allclose(weight.double(), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_group_norm_knows_one_image_at_a_time() -> None:
    network = ResNet18s(ResNetShape(channels=1, width=8, norm="gn"))
    assert not list(network.buffers())
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    apart = torch.cat([network(image[None]) for image in images])
    assert torch.allclose(network(images), apart, atol=1e-5)


@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (8, 2), (16, 4), (64, 8), (18, 3), (7, 1)])
def test_groups_divide_the_channels_and_hold_four_at_least(channels: int, groups: int) -> None:
    layer = norm_layer("gn", channels)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == groups
