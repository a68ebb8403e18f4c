"""Networks of a predictor are in evaluation mode while it is asked, wherever it holds them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables.nn.evaluation_mode import evaluation_mode, modules_of, set_evaluation_mode


class Holder:
    """A predictor with one attribute."""

    def __init__(self, held: Any) -> None:
        self.held = held
        self.log = logging.getLogger("method")  # leads to all there are
        self.sizes, self.weight, self.kind = [1, 2], torch.zeros(2), Holder


class Slotted:
    __slots__ = ("__net", "never")

    def __init__(self, net: nn.Module) -> None:
        self.__net = net


@dataclass(frozen=True)
class Frozen:
    net: nn.Module


class PlainList(nn.Module):
    """Holds layers where torch does not look for them."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.layers = [net]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[0](x)


def enclosed(net: nn.Module) -> Callable[[Tensor], Tensor]:
    def ask(x: Tensor) -> Tensor:
        return net(x)

    return ask


PLACES: dict[str, Callable[[nn.Module], Any]] = {
    "attribute": lambda net: net,
    "list": lambda net: [net],
    "tuple in a dict": lambda net: {"a": (1, net)},
    "set": lambda net: {net},
    "predictor in a predictor": Holder,
    "dataclass": Frozen,
    "slots": Slotted,
    "module in a plain list of a module": PlainList,
    "ModuleDict": lambda net: nn.ModuleDict({"a": net}),
    "partial function": lambda net: partial(net, 1),
    "bound method": lambda net: net.forward,
    "closure": enclosed,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_network_is_found_wherever_a_predictor_holds_it(place: str) -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).train()
    set_evaluation_mode(Holder(PLACES[place](net)))
    assert not any(layer.training for layer in net.modules())


def test_a_predictor_may_be_a_network_and_hold_itself() -> None:
    net = nn.Sequential(nn.BatchNorm2d(1))
    net.itself = [net]  # type: ignore[assignment]
    assert modules_of(net) == [net, net[0]]


def test_a_training_goes_on_in_the_modes_that_it_had() -> None:
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Sequential(nn.BatchNorm2d(1), nn.Dropout())).train()
    net[1].eval()
    net[1][1].train()
    before = [layer.training for layer in net.modules()]
    with evaluation_mode(Holder(net)):
        assert not any(layer.training for layer in net.modules())
    assert [layer.training for layer in net.modules()] == before


def test_modes_come_back_after_an_error() -> None:
    net = nn.BatchNorm2d(1).train()
    with pytest.raises(RuntimeError, match="no such luck"), evaluation_mode(Holder(net)):
        raise RuntimeError("no such luck")
    assert net.training


class Merging(nn.Module):
    """Does more than note its mode, as low-rank adapters do."""

    def __init__(self) -> None:
        super().__init__()
        self.merged = False
        self.norm = nn.BatchNorm2d(1)

    def train(self, mode: bool = True) -> Merging:
        self.merged = not mode
        return super().train(mode)


def test_a_network_that_does_more_than_note_its_mode_does_it() -> None:
    net = Merging().train()
    with evaluation_mode(Holder(nn.Sequential(net))):
        assert net.merged
    assert not net.merged
    assert net.norm.training


def test_an_exported_graph_which_has_no_mode_is_left_as_it_is() -> None:
    whole = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).eval()
    images = torch.rand(2, 1, 4, 4)
    graph = torch.export.export(whole, (images,)).module()
    before = graph(images)
    net = nn.Sequential(graph, nn.BatchNorm2d(1))  # new modules are in training mode
    with evaluation_mode(Holder(net)):
        assert not net[1].training
    assert net[1].training
    assert torch.equal(graph(images), before)


def test_a_scripted_network_is_set_too() -> None:
    net = torch.jit.script(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).train())
    set_evaluation_mode(Holder(net))
    assert not any(layer.training for layer in net.modules())
