"""Class-activation maps: identities, cases by hand, and the outputs of the public package grad-cam."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from tests.nn.make_gradcam_fixture import FIXTURE, LAYERS, LSE_R, Net
from trainables.nn.cam.activation import (
    GRADIENT_MAPS,
    CamHead,
    GradientMap,
    dataset_scale,
    fuse_layers,
    grad_cam,
    grad_cam_plus_plus,
    layer_cam,
    minmax,
    score_gradients,
)
from trainables.nn.choices import Fusion, Pool

POOLS: tuple[Pool, ...] = ("gap", "topk", "lse", "gmp")


def head(pool: Pool, channels: int = 5) -> CamHead:
    made = CamHead(channels, pool, top_share=0.1, lse_r=5)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        made.weight.normal_(generator=generator)
        made.bias.fill_(0.7)
    return made


def features(channels: int = 5) -> Tensor:
    return torch.rand(3, channels, 6, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)


def test_mean_of_the_map_and_the_bias_are_the_logit() -> None:
    layer = head("gap").double()
    evidence = layer(features().double())
    assert torch.allclose(
        (evidence - layer.bias).mean((1, 2, 3)) + layer.bias, layer.score(evidence), atol=1e-12
    )


@pytest.mark.parametrize("pool", POOLS)
def test_map_is_the_weighted_sum_of_the_features_under_every_pooling(pool: Pool) -> None:
    layer, shown = head(pool), features()
    summed = torch.einsum("bkhw,k->bhw", shown, layer.weight.flatten()).relu()
    assert torch.allclose(layer.activation(layer(shown))[:, 0], summed, atol=1e-6)


def test_a_toy_net_with_weights_set_by_hand() -> None:
    layer = CamHead(2, "gap", top_share=1, lse_r=1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([2.0, -1.0]).reshape(1, 2, 1, 1))
        layer.bias.fill_(3.0)
    shown = torch.tensor([[[1.0, 0.0], [2.0, 0.0]], [[0.0, 5.0], [1.0, 0.0]]])[None]
    evidence = layer(shown)
    assert evidence.flatten().tolist() == [5, -2, 6, 3]
    assert layer.activation(evidence).flatten().tolist() == [2, 0, 3, 0]
    assert layer.score(evidence).tolist() == [3]


def test_grad_cam_below_a_mean_pooled_head_is_the_cam_per_cell() -> None:
    layer, shown = head("gap").double(), features().double()
    evidence = layer(shown)
    (gradient,) = score_gradients(layer.score(evidence), [shown])
    assert torch.allclose(48 * grad_cam(shown, gradient), layer.activation(evidence), atol=1e-12)


def test_gradients_are_those_of_each_image_alone() -> None:
    layer, shown = head("lse"), features()
    (together,) = score_gradients(layer.score(layer(shown)), [shown])
    for image, expected in zip(shown, together, strict=True):
        alone = image.detach()[None].requires_grad_()
        (gradient,) = score_gradients(layer.score(layer(alone)), [alone])
        assert torch.allclose(gradient[0], expected, atol=1e-7)


A = torch.tensor([[1.0, 2.0], [0.0, 4.0]])[None, None]
G = torch.tensor([[1.0, -1.0], [0.0, 2.0]])[None, None]
ALPHA = (1 / (2 + 7), 1 / (2 - 7), 0, 4 / (8 + 7 * 8))  # Σ A = 7


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (grad_cam, [0.5, 1, 0, 2]),  # mean g = 0.5
        (grad_cam_plus_plus, [weight * (ALPHA[0] + 2 * ALPHA[3]) for weight in (1, 2, 0, 4)]),
        (layer_cam, [1, 0, 0, 8]),
    ],
)
def test_gradient_maps_by_hand(method: Callable[[Tensor, Tensor], Tensor], expected: list[float]) -> None:
    assert method(A, G).flatten().tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("method", GRADIENT_MAPS.values(), ids=GRADIENT_MAPS)
def test_evidence_against_a_defect_is_no_map(method: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert not method(A, -G.abs()).any()


def resized(map_B1hw: Tensor, size: tuple[int, int]) -> Tensor:
    """As grad-cam brings its maps to pixels (it shifts cells by doing so, we do not)."""
    return F.interpolate(minmax(map_B1hw), size=size, mode="bilinear", align_corners=False)[:, 0]


@pytest.fixture(scope="module")
def frozen() -> dict[str, Tensor]:
    return load_file(FIXTURE)


@pytest.fixture(scope="module")
def layers(frozen: dict[str, Tensor]) -> dict[int, tuple[Tensor, Tensor]]:
    """Activations and gradients of the frozen network on the frozen images, by layer."""
    net = Net().eval()
    net.load_state_dict({k.removeprefix("net."): v for k, v in frozen.items() if k.startswith("net.")})
    x, found = frozen["images"], {}
    for index, module in enumerate(net.trunk):
        x = module(x)
        if index in LAYERS:
            found[index] = x
    layer = CamHead(12, "lse", top_share=1, lse_r=LSE_R)
    layer.load_state_dict(net.head.state_dict())
    gradients = score_gradients(layer.score(layer(x)), list(found.values()))
    return dict(zip(found, zip(found.values(), gradients, strict=True), strict=True))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("method", GRADIENT_MAPS)
def test_maps_equal_those_of_grad_cam_1_5_7(
    method: GradientMap, layer: int, frozen: dict[str, Tensor], layers: dict[int, tuple[Tensor, Tensor]]
) -> None:
    """``make_gradcam_fixture.py`` ran the package once; see there how to run it again."""
    expected = frozen[f"{method}.{layer}"]
    found = minmax(resized(GRADIENT_MAPS[method](*layers[layer]), (24, 36)))
    assert expected.amax() > 0.9
    assert torch.allclose(found, expected, atol=1e-5)


def test_fused_layers_equal_those_of_grad_cam_1_5_7(
    frozen: dict[str, Tensor], layers: dict[int, tuple[Tensor, Tensor]]
) -> None:
    maps = [resized(layer_cam(*pair), (24, 36)) for pair in layers.values()]
    assert torch.allclose(minmax(fuse_layers(maps, "mean")), frozen["layer_cam.fused"], atol=1e-5)


def test_each_image_is_scaled_by_itself_and_a_flat_one_is_zero() -> None:
    maps = torch.stack((torch.arange(6.0), 100 * torch.arange(6.0), torch.full((6,), 7.0))).reshape(3, 2, 3)
    scaled = minmax(maps)
    assert torch.allclose(scaled[0], scaled[1], atol=1e-6)
    assert scaled[0].amax().item() == pytest.approx(1)
    assert not scaled[2].any()


def test_dataset_scale_forgives_a_single_outlier_and_a_blind_net() -> None:
    assert dataset_scale([2.0] * 400 + [1e6]) == 2
    assert dataset_scale([0.0, 0.0]) == 1


@pytest.mark.parametrize(("fusion", "expected"), [("mean", [1.0, 2.0]), ("max", [2.0, 4.0])])
def test_layers_are_fused_by_mean_or_maximum(fusion: Fusion, expected: list[float]) -> None:
    maps = [torch.tensor([[[0.0, 4.0]]]), torch.tensor([[[2.0, 0.0]]])]
    assert fuse_layers(maps, fusion).flatten().tolist() == expected
