"""Eq. 1 and its schedule, targets, and the normalisation, on numbers computed by hand."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch

from tests.segdec.surfaces import tiny_config
from trainables.data.samples import MaskedSample, Sample
from trainables.segdec.feature_norm import Divisor, FeatureNorm
from trainables.segdec.loss import LossWeights, segdec_loss
from trainables.segdec.mask_maps import distance_weights, mask_target
from trainables.segdec.targets import MaskTarget, TrainingTargets, downsize, make_target

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("changes", "epoch", "expected"),
    [
        ({"balance": "linear", "delta": 0.5}, 0, (1.0, 0.0)),
        ({"balance": "linear", "delta": 0.5}, 5, (0.5, 0.25)),
        ({"balance": "linear", "delta": 0.5}, 9, (0.1, 0.45)),
        ({"balance": "power", "balance_power": 2, "delta": 1}, 5, (0.25, 0.75)),
        ({"balance": "power", "balance_power": 1, "delta": 1}, 3, (0.7, 0.3)),
        ({"balance": "none", "delta": 0.01}, 7, (1.0, 0.01)),
    ],
)
def test_balance_first_localises_then_decides(
    changes: dict[str, Any], epoch: int, expected: tuple[float, float]
) -> None:
    assert LossWeights.at(epoch, tiny_config(epochs=10, **changes)) == pytest.approx(expected)


@pytest.mark.parametrize("epoch", [0, 5, 9])
def test_image_without_mask_never_trains_segmentation(epoch: int) -> None:
    seg = torch.zeros(2, 1, 8, 16, requires_grad=True)
    target = TrainingTargets(
        [MaskTarget(None, 0.0, 1.0), MaskTarget(None, 1.0, 0.0)], tiny_config(), CPU
    ).batch([0, 1])
    segdec_loss(torch.zeros(2), seg, target, LossWeights.at(epoch, tiny_config(epochs=10))).total.backward()
    assert seg.grad is not None
    assert seg.grad[0].any()
    assert not seg.grad[1].any()


def test_segmentation_loss_is_a_mean_over_cells_not_over_weights() -> None:
    maps = torch.stack((torch.ones(8, 16), torch.full((8, 16), 0.25)))
    target = TrainingTargets([MaskTarget(maps, 1.0, 1.0)], tiny_config(), CPU).batch([0])
    losses = segdec_loss(torch.zeros(1), torch.zeros(1, 1, 8, 16), target, LossWeights(1.0, 0.0))
    assert losses.total.item() == pytest.approx(0.25 * np.log(2))


def test_feature_norm_divides_by_the_root_of_the_unbiased_standard_deviation() -> None:
    x = torch.tensor([1.0, 2.0, 3.0, 6.0]).reshape(1, 1, 2, 2)
    std = np.sqrt((4 + 1 + 0 + 9) / 3)
    expected = (x - 3) / np.sqrt(std + 0.001)
    assert torch.allclose(FeatureNorm(1)(x), expected, atol=1e-6)


def test_feature_norm_by_std_gives_unit_variance() -> None:
    x = 5 * torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) + 7
    std, mean = torch.std_mean(FeatureNorm(3, "std")(x), dim=(2, 3))
    assert torch.allclose(std, torch.ones(2, 3), atol=1e-3)
    assert torch.allclose(mean, torch.zeros(2, 3), atol=1e-5)


@pytest.mark.parametrize("divisor", ["sqrt_std", "std"])
def test_feature_norm_derivative_is_that_of_its_arithmetic(divisor: Divisor) -> None:
    norm = FeatureNorm(2, divisor).double()
    x = torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(norm, (x.requires_grad_(),))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("relu", [False, True])
def test_feature_norm_of_large_maps_is_that_of_float64_and_of_each_image_alone(
    layout: torch.memory_format, relu: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    norm = FeatureNorm(6, relu=relu)  # of each image 170,000 numbers, which are two blocks and a part of one
    x = (3 * torch.randn(2, 6, 168, 168, generator=generator) + 5).to(memory_format=layout)
    slope = torch.randn(x.shape, generator=generator).to(memory_format=layout)

    def answers(norm: FeatureNorm, x: torch.Tensor, slope: torch.Tensor) -> list[torch.Tensor]:
        y = norm(x.requires_grad_())
        return [y.detach(), *torch.autograd.grad(y, (x, norm.scale, norm.bias), slope)]

    found = answers(norm, x, slope)
    alone = [answers(norm, *(t[i : i + 1].detach() for t in (x, slope))) for i in range(2)]
    for of_all, of_each in zip(found[:2], zip(*(a[:2] for a in alone), strict=True), strict=True):
        assert torch.equal(of_all, torch.cat(of_each))
    assert torch.equal(norm(x.detach()), found[0])
    exact = answers(FeatureNorm(6, relu=relu).double(), x.detach().double(), slope.double())
    for of_float32, of_float64 in zip(found, exact, strict=True):
        assert (of_float32 - of_float64).norm() <= 1e-6 * of_float64.norm()


def test_feature_norm_of_a_flat_channel_has_a_finite_gradient() -> None:
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    FeatureNorm(1)(x).square().sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_feature_norm_counts_in_float32_when_features_are_bfloat16() -> None:
    x = 100 + torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    narrow = FeatureNorm(1)(x.bfloat16())
    assert narrow.dtype == torch.bfloat16
    assert abs(narrow.float().mean().item()) < 1e-2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("relu", [False, True])
def test_what_is_pooled_before_it_is_scaled_is_the_same_to_the_last_bit(
    dtype: torch.dtype, layout: torch.memory_format, negative: bool, relu: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    norm, pool = FeatureNorm(16, relu=relu), torch.nn.MaxPool2d(2)
    with torch.no_grad():
        norm.scale.copy_(torch.rand(norm.scale.shape, generator=generator) - (0.5 if negative else 0))
        norm.bias.copy_(torch.randn(norm.bias.shape, generator=generator))
        x = torch.randn(3, 16, 22, 34, generator=generator).to(dtype).to(memory_format=layout)
        pooled = norm.halved(x)
        assert torch.equal(pooled, pool(norm(x)))
        assert pooled.dtype == dtype
    assert torch.equal(norm.halved(x), pooled)  # with gradient


def masked(mask: np.ndarray[Any, np.dtype[np.uint8]], label: bool = True) -> MaskedSample:
    return MaskedSample("a", np.zeros((64, 128, 1), np.uint8), label, mask)


def square(side: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    mask = np.zeros((64, 128), np.uint8)
    mask[16 : 16 + side, 32 : 32 + side] = 1
    return mask


def test_soft_label_carries_the_size_of_the_defect_and_binary_does_not() -> None:
    soft, binary = tiny_config(image_label="soft"), tiny_config()
    assert make_target(masked(square(4)), soft).label == pytest.approx(16 / 17**2)
    assert make_target(masked(square(4)), binary).label == 1.0
    assert make_target(Sample("a", np.zeros((64, 128, 1), np.uint8), True), soft).label == 1.0


def test_an_empty_mask_of_a_defective_image_counts_as_none() -> None:
    assert make_target(masked(square(0)), tiny_config()) == MaskTarget(None, label=1.0, gamma=0.0)


def test_dilation_happens_at_original_size() -> None:
    small, large = (make_target(masked(square(4)), tiny_config(dilation=d)).maps_2hw for d in (1, 15))
    assert small is not None
    assert large is not None
    assert large[0].sum() > 10 * small[0].sum()


def test_distance_weights_rise_from_rim_to_centre_and_are_one_outside() -> None:
    mask = np.zeros((64, 128), np.float32)
    mask[10:15, 20:25] = 1
    weight = distance_weights(mask, 10, 1, "image")
    np.testing.assert_allclose(weight[12, 20:25], [10 / 3, 20 / 3, 10, 20 / 3, 10 / 3], rtol=1e-6)
    assert weight[0, 0] == 1


@pytest.mark.parametrize(("scope", "weight"), [("image", (2 / 11) ** 2), ("component", 1)])
def test_small_second_defect_counts_fully_only_per_component(
    scope: Literal["image", "component"], weight: float
) -> None:
    mask = np.zeros((64, 128), np.float32)
    mask[10:31, 10:31] = 1
    mask[50:53, 100:103] = 1
    assert distance_weights(mask, 1, 2, scope)[51, 101] == pytest.approx(weight)


@pytest.mark.parametrize(
    "changes",
    [{}, {"dilation": 7, "w_pos": 10, "p": 1}, {"distance_weights": False}, {"distance_scope": "component"}],
)
def test_what_pages_show_of_a_target_is_what_the_training_takes(changes: dict[str, Any]) -> None:
    config = tiny_config(**changes)
    sample = masked(square(12))
    shown, taken = mask_target(config, sample.mask), make_target(sample, config).maps_2hw
    assert shown is not None
    assert taken is not None
    np.testing.assert_allclose(np.stack(shown[:2]), taken.numpy(), atol=1e-5)


def test_a_normal_image_teaches_that_nothing_is_there() -> None:
    shown = mask_target(tiny_config(), np.zeros((64, 128), np.uint8))
    assert shown is not None
    assert not shown.mask_hw.any()
    assert (shown.weight_hw == 1).all()


def test_mask_without_background_is_weighted_evenly() -> None:
    assert (distance_weights(np.ones((64, 128), np.float32), 3, 2, "image") == 3).all()


def test_cell_of_the_target_is_centred_on_its_eighth_pixel() -> None:
    mask = np.zeros((64, 128), np.float32)
    mask[24, 40] = 1
    cells = downsize(mask)
    assert cells[3, 5] == pytest.approx(1 / 17**2)
    assert cells.shape == (8, 16)
    np.testing.assert_allclose(cells[2:5, 4:7], cells[2:5, 4:7].flip(0, 1))
