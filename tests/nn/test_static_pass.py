"""Passes at fixed places: the gradients and numbers of the same passes run freely, bit by bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.nn.training.static_pass import GradientPlaces, StaticPass


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3), nn.Flatten(), nn.LazyLinear(1))
    layers(torch.ones(1, 1, 8, 8))
    return layers.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def images(seed: int) -> Tensor:
    return torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def loss_of(net: nn.Module, image: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    loss = weight * F.softplus(net(image)).sum()
    return loss, loss.detach()


@pytest.mark.parametrize("steps", [[[0]], [[0, 1]], [[0, 1], [2], [2, 0, 1]]])
def test_passes_at_fixed_places_train_as_free_ones(steps: Sequence[Sequence[int]]) -> None:
    free, fixed = network(), network()
    places, example = GradientPlaces(fixed.parameters()), (images(9), torch.ones(()))
    static = StaticPass(lambda *inputs: loss_of(fixed, *inputs), places, example)
    optimisers = [torch.optim.SGD(net.parameters(), lr=0.1) for net in (free, fixed)]
    for step in steps:
        for optimiser in optimisers:
            optimiser.zero_grad()
        for seed in step:
            weight = torch.tensor(1.0 + seed)
            loss, value = loss_of(free, images(seed), weight)
            loss.backward()
            assert torch.equal(static(images(seed), weight), value)
        for optimiser in optimisers:
            optimiser.step()
    for one, other in zip(free.parameters(), fixed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_weights_that_a_pass_does_not_use_stay_without_gradient() -> None:
    net = network()
    places = GradientPlaces(net.parameters())
    part = StaticPass(lambda image: loss_of(net[0], image, torch.ones(())), places, (images(0),))
    whole = StaticPass(lambda image: loss_of(net, image, torch.ones(())), places, (images(0),))
    part(images(1))
    assert [weight.grad is not None for weight in net.parameters()] == [True] * 2 + [False] * 4
    whole(images(2))
    expected = network()
    for loss, _ in (
        loss_of(expected[0], images(1), torch.ones(())),
        loss_of(expected, images(2), torch.ones(())),
    ):
        loss.backward()
    for one, other in zip(net.parameters(), expected.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)


def test_frozen_weights_get_no_place() -> None:
    net = network()
    net[0].requires_grad_(False)
    places = GradientPlaces(net.parameters())
    StaticPass(lambda image: loss_of(net, image, torch.ones(())), places, (images(0),))(images(1))
    assert [weight.grad is None for weight in net.parameters()] == [True] * 2 + [False] * 4


def test_gradients_of_others_are_refused() -> None:
    net = network()
    static = StaticPass(
        lambda image: loss_of(net, image, torch.ones(())), GradientPlaces(net.parameters()), (images(0),)
    )
    loss_of(net, images(0), torch.ones(()))[0].backward()
    with pytest.raises(AssertionError, match="these passes alone"):
        static(images(0))


@dataclass
class _Driver:
    """Stands for GPUs, of which one is current: streams and recordings are of it, if they name no other."""

    current: int = 0
    seen: list[tuple[str, int]] = field(default_factory=list)  # what was done, and on which GPU

    def note(self, what: str) -> None:
        self.seen.append((what, self.current))

    def exchange(self, index: int) -> int:
        before, self.current = self.current, index
        return before

    def stream(self) -> _Stream:
        self.note("stream")
        return _Stream()

    @contextmanager
    def record(self, graph: _Graph, stream: _Stream | None = None) -> Iterator[None]:
        """Without a stream torch records on one that it has kept from the first recording of the process."""
        assert isinstance(stream, _Stream)
        self.note("begin")
        yield
        self.note("end")


class _Stream:
    def wait_stream(self, other: _Stream) -> None:
        """Nothing runs meanwhile."""


class _Graph:
    replays = 0

    def replay(self) -> None:
        self.replays += 1


class _OnGpu(Tensor):
    """A tensor that says that it lies on another GPU than the current one."""

    device: Any = torch.device("cuda:3")


def test_a_pass_is_recorded_on_the_gpu_where_its_inputs_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    driver, graph, net = _Driver(), _Graph(), network()
    monkeypatch.setattr(torch.cuda, "_exchange_device", driver.exchange)
    monkeypatch.setattr(torch.cuda, "_maybe_exchange_device", driver.exchange)
    monkeypatch.setattr(torch.cuda, "Stream", driver.stream)
    monkeypatch.setattr(torch.cuda, "current_stream", driver.stream)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graph)
    monkeypatch.setattr(torch.cuda, "graph", driver.record)

    def work(image: Tensor) -> tuple[Tensor, Tensor]:
        driver.note("pass")
        return loss_of(net, image.as_subclass(Tensor), torch.ones(()))

    places = GradientPlaces(net.parameters())
    static = StaticPass(work, places, (images(0).as_subclass(_OnGpu),))
    assert {where for _, where in driver.seen} == {3}
    assert [what for what, _ in driver.seen][-3:] == ["begin", "pass", "end"]
    assert driver.current == 0
    assert not places.values.any()
    static(images(1))
    assert graph.replays == 1
