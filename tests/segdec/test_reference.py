"""The published network's and target pipeline's own numbers, from weights made by a rule."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trainables.segdec.config import SegDecConfig
from trainables.segdec.loss import LossWeights, segdec_loss
from trainables.segdec.mask_maps import dilate_and_resize, distance_weights
from trainables.segdec.network import SegDecNet
from trainables.segdec.targets import TargetBatch, downsize

Numbers = Mapping[str, NDArray[np.float64]]
CONFIG = SegDecConfig(image_size=(128, 128))
CASES = ["pos_stop", "pos_flow", "posweak_stop", "posweak_flow", "neg_stop", "neg_flow"]


@pytest.fixture(scope="module")
def numbers() -> Numbers:
    return dict(np.load(Path(__file__).with_name("segdecnet_fixture.npz"), allow_pickle=False))


def reference_network(dtype: torch.dtype) -> SegDecNet:
    """The network with the fixture's weights."""
    network = SegDecNet(CONFIG)
    rng = np.random.RandomState(20211120)
    for name, parameter in network.named_parameters():
        drawn = rng.standard_normal(parameter.shape)
        if name.endswith("scale"):
            drawn = 1 + 0.1 * drawn
        elif name.endswith("bias"):
            drawn = 0.1 * drawn
        else:
            area = int(np.prod(parameter.shape[2:]))
            drawn = drawn * np.sqrt(2 / ((parameter.shape[0] + parameter.shape[1]) * area))
        parameter.data = torch.from_numpy(drawn.astype(np.float32)).to(dtype)
    return network


def target_of(case: str, numbers: Numbers, dtype: torch.dtype) -> TargetBatch:
    mask = torch.from_numpy(numbers["g128/seg_target"])[None, None].to(dtype)
    weight = torch.from_numpy(numbers["g128/seg_weight"])[None, None].to(dtype)
    if case.startswith("neg"):
        mask, weight = torch.zeros_like(mask), torch.ones_like(weight)
    gamma = torch.tensor([0.0 if case.startswith("posweak") else 1.0], dtype=dtype)
    return TargetBatch(mask, weight, mask.amax().reshape(1), gamma)


def test_parameters_have_the_published_names_in_the_published_order(numbers: Numbers) -> None:
    names = [name for name, _ in SegDecNet(CONFIG).named_parameters()]
    assert names == numbers["param_names"].tolist()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_one_step_gives_the_published_numbers(case: str, precision: str, numbers: Numbers) -> None:
    dtype = torch.float64 if precision == "f64" else torch.float32
    tolerance = 1e-9 if precision == "f64" else 1e-4
    network = reference_network(dtype)
    image = torch.from_numpy(numbers["g128/image"]).to(dtype)
    target = target_of(case, numbers, dtype)
    stop = case.endswith("stop")

    output = network(image, stop=stop, trunk_gradient=case != "posweak_stop")
    losses = segdec_loss(output.cls_logits_B, output.seg_logits_B1hw, target, LossWeights(0.8, 0.2))
    losses.total.backward()

    of = f"g128/{precision}/{case}"
    assert_near(output.seg_logits_B1hw, numbers[f"g128/{precision}/seg_logits"], tolerance)
    seg, cls, total, label, logit = numbers[f"{of}/scalars"]
    loss_tolerance = 1e-9 if precision == "f64" else 1e-5
    assert_near(losses.cls, cls, loss_tolerance)
    assert_near(losses.total, total, loss_tolerance)
    assert_near(target.label_B, [label], loss_tolerance)
    assert_near(output.cls_logits_B, [logit], tolerance)
    if not case.startswith("posweak"):
        assert_near(losses.seg, seg, loss_tolerance)

    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()]
    relative = 1e-9 if precision == "f64" else 1e-2
    norms = np.array([float(g.norm()) for g in grads])
    np.testing.assert_allclose(norms, numbers[f"{of}/grad_norm"], rtol=relative, atol=1e-9)
    if precision == "f64":
        sums = np.array([float(g.sum()) for g in grads])
        np.testing.assert_allclose(sums, numbers[f"{of}/grad_sum"], rtol=1e-9, atol=1e-9)
        for grad, first in zip(grads, numbers[f"{of}/grad_first8"], strict=True):
            head = grad.flatten()[:8].numpy()
            np.testing.assert_allclose(head, first[: len(head)], rtol=1e-9, atol=1e-9)

    torch.optim.SGD(network.parameters(), lr=0.05).step()
    with torch.no_grad():
        after = network(image)
    seg_logits = after.seg_logits_B1hw
    std, mean = torch.std_mean(seg_logits)
    found = [float(x) for x in (after.cls_logits_B, mean, std, seg_logits.max(), seg_logits.min())]
    np.testing.assert_allclose(found, numbers[f"{of}/after_step"], rtol=relative, atol=relative)


def test_targets_are_the_published_ones(numbers: Numbers) -> None:
    raw = (numbers["data/mask_raw_u8"] > 0).astype(np.uint8)
    mask = dilate_and_resize(raw, 7, (136, 72))
    np.testing.assert_allclose(mask, numbers["data/dilate7/label_resized"], atol=1e-7)
    np.testing.assert_allclose(downsize(mask), numbers["data/dilate7/label_down"], atol=1e-6)


@pytest.mark.parametrize(("w_pos", "p"), [(10, 1), (1, 2), (3, 2)])
def test_distance_weights_are_the_published_ones(w_pos: float, p: float, numbers: Numbers) -> None:
    of = f"data/dilate7/w{w_pos}_p{p}"
    mask = numbers["data/dilate7/label_resized"].astype(np.float32)
    weight = distance_weights(mask, w_pos, p, "image")
    np.testing.assert_allclose(weight, numbers[f"{of}/weight_full"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(downsize(weight), numbers[f"{of}/weight_down"], rtol=1e-5, atol=1e-6)
    each = distance_weights(mask, w_pos, p, "component")
    np.testing.assert_allclose(downsize(each), numbers[f"{of}/weight_down_pr14"], rtol=1e-5, atol=1e-6)


def assert_near(found: torch.Tensor, expected: object, tolerance: float) -> None:
    np.testing.assert_allclose(found.detach().numpy(), np.asarray(expected), rtol=0, atol=tolerance)
