"""What training loops share."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import nn

from trainables.contract import LocalRun
from trainables.errors import Diverged
from trainables.nn.choices import TrainingSchedule
from trainables.nn.training.parts import (
    mean_over_workers,
    optimiser_tensors,
    require_finite,
    restore_optimiser,
)


def test_cosine_falls_from_the_rate_to_nearly_0_and_constant_stays() -> None:
    cosine, constant = TrainingSchedule(5, rate="cosine"), TrainingSchedule(5)
    rates = [cosine.rate_at(0.4, step, 10, 2) for step in range(10)]
    assert rates[0] == 0.4
    assert rates[5] == pytest.approx(0.2)
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[9] < 0.02
    assert {constant.rate_at(0.4, step, 10, 2) for step in range(10)} == {0.4}


def step(network: nn.Module, optimiser: torch.optim.Optimizer, seed: int) -> None:
    optimiser.zero_grad()
    x = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    network(x).square().sum().backward()
    optimiser.step()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_restored_optimiser_steps_bit_identically(layout: torch.memory_format) -> None:
    def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
        network = nn.Conv2d(3, 4, 3).to(memory_format=layout)  # pyright: ignore[reportCallIssue]
        return network, torch.optim.AdamW(network.parameters(), lr=0.1)

    network, optimiser = fresh()
    for seed in range(3):
        step(network, optimiser, seed)
    other, resumed = fresh()
    other.load_state_dict(network.state_dict())
    kept = {name: t.contiguous().clone() for name, t in optimiser_tensors(optimiser, network).items()}
    assert set(kept) == {
        f"{p}/{key}" for p in ("weight", "bias") for key in ("step", "exp_avg", "exp_avg_sq")
    }
    restore_optimiser(resumed, other, kept)
    for one, two in ((network, optimiser), (other, resumed)):
        step(one, two, 3)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
    moments = resumed.state[other.weight]["exp_avg"]
    assert moments.is_contiguous(memory_format=layout)


def test_the_count_of_steps_stays_on_the_host_beside_a_weight_of_one_number() -> None:
    """A count on a GPU would make each later step wait for it."""
    network, trust = nn.Module(), nn.Parameter(torch.ones((), device="meta"))
    network.register_parameter("trust", trust)
    optimiser = torch.optim.AdamW(network.parameters())
    restore_optimiser(optimiser, network, {"trust/step": torch.tensor(3.0), "trust/exp_avg": torch.ones(())})
    state = optimiser.state[trust]
    assert (state["step"].device.type, state["exp_avg"].device.type) == ("cpu", "meta")


class TwoWorkers(LocalRun):
    """A run whose other worker has sums of its own, and hands the total over as a new tensor."""

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        for parameter in parameters:
            assert parameter.grad is not None
            parameter.grad = parameter.grad + torch.tensor([3.0, 0.0, 3.0])


@pytest.mark.parametrize(
    ("run", "means"),
    [(LocalRun(), {"loss": 2, "loss_seg": 1}), (TwoWorkers(), {"loss": 1.5, "loss_seg": 0.5})],
    ids=["one worker", "two workers"],
)
def test_means_are_over_all_workers(run: LocalRun, means: dict[str, float]) -> None:
    sums = {"loss": torch.tensor(6.0), "loss_seg": torch.tensor(3.0)}
    assert mean_over_workers(sums, 3, run) == means


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_ends_the_training(value: float) -> None:
    with pytest.raises(Diverged, match="epoch 4: loss is"):
        require_finite(4, {"loss": value}, nn.Linear(1, 1))
    network = nn.Linear(1, 1)
    network.weight.data.fill_(value)
    with pytest.raises(Diverged, match="epoch 4: weight holds"):
        require_finite(4, {"loss": 1.0}, network)
