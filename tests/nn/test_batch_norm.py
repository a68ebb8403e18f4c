"""Batch normalisation: of one cell it is refused, and several workers take it over the whole batch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.helpers.killed import equal
from tests.helpers.threads import in_threads
from trainables.contract import LocalRun
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.spec import Supervision
from trainables.errors import InputError
from trainables.nn.choices import ResNetShape
from trainables.nn.layers.norm import BatchNorm
from trainables.nn.layers.resnet import ResNet18s
from trainables.nn.layers.trunk import Trunk
from trainables.nn.layers.unet import PlainEncoder, UNet
from trainables.nn.training.parts import whole_batch_statistics
from trainables.supervised import TRAINABLE, SupervisedConfig


def plain_unet() -> UNet:
    encoder = PlainEncoder(1, 4, 3, "bn")
    return UNet(encoder, encoder.widths, "bn")


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet18s": (lambda: ResNet18s(ResNetShape(channels=1, width=4, output_stride=16, norm="bn")), 16),
    "resnet18": (lambda: Trunk("resnet18"), 32),
    "lite0": (lambda: Trunk("lite0"), 32),
    "wide_resnet50_2": (lambda: Trunk("wide_resnet50_2"), 32),
    "unet": (plain_unet, 8),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_one_image_that_becomes_one_cell_is_refused_in_training_alone(name: str) -> None:
    make, side = NETWORKS[name]
    network = make().train()
    with pytest.raises(InputError, match=r"found one: a batch of 1 image.*norm: gn"):
        network(torch.rand(1, 1, side, side))
    network(torch.rand(2, 1, side, side))
    network(torch.rand(1, 1, side, 2 * side))
    network.eval()(torch.rand(1, 1, side, side))


@pytest.mark.parametrize(("count", "refused"), [(4, False), (5, True)])
def test_a_training_whose_epoch_ends_with_one_image_of_one_cell_says_what_to_change(
    count: int, refused: bool
) -> None:
    config = SupervisedConfig.model_validate(
        {
            "model": "unet", "encoder": "plain", "image_size": (8, 8), "base": 4, "levels": 3, "norm": "bn",
            "epochs": 1, "batch_size": 4,
        }
    )  # fmt: skip
    names = tuple(map(str, range(count)))
    rng = np.random.default_rng(0)
    masks = {name: np.eye(8, dtype=np.uint8) for name in names}
    images = {name: rng.integers(0, 256, (8, 8, 1), np.uint8) for name in names}
    data = TrainingData(
        ImageSet(names, np.ones(count, np.bool_), images, masks), None, Supervision.model_validate("full")
    )
    if not refused:
        TRAINABLE.fit(config, data, LocalRun())
        return
    with pytest.raises(InputError, match="found one: a batch of 1 image"):
        TRAINABLE.fit(config, data, LocalRun())


# Several workers -----------------------------------------------------------------------------------------


class Normalised(NamedTuple):
    """What one step leaves behind."""

    output_BChw: Tensor
    gradient_BChw: Tensor  # of the input
    state: dict[str, Tensor]
    gradients: dict[str, Tensor]  # of weight and bias, summed over workers


def normalised(values_BChw: Tensor, run: LocalRun) -> Normalised:
    """A step whose loss weighs each value otherwise, of this worker's images."""
    layer = BatchNorm(values_BChw.shape[1]).train()
    values_BChw = values_BChw.clone().requires_grad_()
    with whole_batch_statistics(layer, run):
        output_BChw = layer(values_BChw)
        (output_BChw.square() * values_BChw.detach().sin()).sum().backward()
    run.reduce(layer.parameters())
    assert values_BChw.grad is not None
    gradients = {name: weight.grad for name, weight in layer.named_parameters() if weight.grad is not None}
    return Normalised(output_BChw.detach(), values_BChw.grad, dict(layer.state_dict()), gradients)


@pytest.mark.parametrize("sizes", [(2, 3), (5, 0), (1, 1, 3)], ids=str)
@pytest.mark.parametrize("mean", [0.0, 300.0])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_workers_normalise_as_one_does(
    sizes: tuple[int, ...], mean: float, layout: torch.memory_format
) -> None:
    values_BChw = torch.from_numpy(np.random.default_rng(0).normal(mean, 2, (5, 3, 4, 6))).float()
    parts = values_BChw.contiguous(memory_format=layout).split(list(sizes))
    alone = normalised(values_BChw, LocalRun())
    together = in_threads(len(sizes), lambda run: normalised(parts[run.rank], run))
    scale = 1 + mean  # float32 has that many units less behind the point
    close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-6 * scale)
    close(torch.cat([each.output_BChw for each in together]), alone.output_BChw)
    close(torch.cat([each.gradient_BChw for each in together]), alone.gradient_BChw)
    for each in together:
        assert equal(each.state, together[0].state)
        for name, value in alone.state.items():
            close(each.state[name], value)
        for name, value in alone.gradients.items():
            torch.testing.assert_close(each.gradients[name], value, rtol=1e-4, atol=1e-4 * scale)


def test_a_single_value_in_all_is_refused_by_every_worker() -> None:
    parts = torch.zeros(1, 3, 1, 1), torch.zeros(0, 3, 1, 1)

    def refusal(run: LocalRun) -> str:
        with pytest.raises(InputError, match="found one: a batch of 1 image") as refused:
            normalised(parts[run.rank], run)
        return str(refused.value)

    assert len(set(in_threads(2, refusal))) == 1


def test_workers_are_forgotten_after_the_training_also_after_a_failure() -> None:
    layer = BatchNorm(3).train()

    def failing() -> None:
        with whole_batch_statistics(layer, LocalRun(world_size=2)) as shared:
            assert shared
            assert layer.sum_over_workers is not None
            raise InputError("stop")

    with pytest.raises(InputError, match="stop"):
        failing()
    assert layer.sum_over_workers is None
    with whole_batch_statistics(layer, LocalRun()) as shared:
        assert not shared
        assert layer.sum_over_workers is None
    with whole_batch_statistics(nn.Linear(1, 1), LocalRun(world_size=2)) as shared:
        assert not shared


def test_a_copy_of_a_network_in_training_knows_the_workers_too() -> None:
    layer = BatchNorm(3).train()
    with whole_batch_statistics(layer, LocalRun(world_size=2)):
        assert copy.deepcopy(layer).sum_over_workers is layer.sum_over_workers
