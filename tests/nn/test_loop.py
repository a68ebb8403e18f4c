"""The one training loop: how long it trains, what its hooks see, and what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.helpers.killed import KilledRun
from trainables.contract import LocalRun, TrainingCutError
from trainables.errors import InputError
from trainables.nn.batches.sampling import BalancedSampler
from trainables.nn.training.loop import BatchShard, TrainingHooks, TrainingSchedule, train
from trainables.nn.training.parts import BestEpoch, WeightAverage, check_choice, check_norm

_LABELS = np.arange(9) < 4  # four defective images: two steps of four


def new_network() -> nn.Linear:
    network = nn.Linear(1, 1)
    with torch.no_grad():
        network.weight.fill_(1.0)
        network.bias.zero_()
    return network


def adamw(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), lr=0.1)


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.1)


class Toy:
    """A network that learns to say 0, and all shards that it was shown."""

    def __init__(self, optimiser: Callable[[nn.Module], torch.optim.Optimizer] = adamw) -> None:
        self.network = new_network()
        self.optimiser = optimiser(self.network)
        self.shards: list[BatchShard] = []

    def backward(self, shard: BatchShard) -> Mapping[str, Tensor]:
        self.shards.append(shard)
        positions = torch.tensor([[float(i)] for i in shard.positions]).reshape(-1, 1)
        loss = (positions @ self.network.weight).square().sum()  # the bias has no gradient
        (loss / shard.size).backward()
        return {"loss": loss.detach()}

    def train(
        self,
        run: LocalRun,
        schedule: TrainingSchedule | None = None,
        labels: NDArray[np.bool_] = _LABELS,
        **hooks: Any,
    ) -> None:
        train(
            self.network,
            self.optimiser,
            run,
            schedule=schedule or TrainingSchedule(3),
            sampler=BalancedSampler(labels, 4),
            hooks=TrainingHooks(self.backward, ("loss",), **hooks),
        )


@pytest.mark.parametrize(
    ("schedule", "epochs"),
    [(TrainingSchedule(3), 3), (TrainingSchedule(1, min_steps=7), 4), (TrainingSchedule(5, min_steps=7), 5)],
)
def test_epochs_are_added_until_there_are_enough_steps(schedule: TrainingSchedule, epochs: int) -> None:
    toy, run = Toy(), LocalRun()
    toy.train(run, schedule)
    assert [row["epoch"] for row in run.history] == list(range(epochs))
    assert [shard.step for shard in toy.shards] == list(range(2 * epochs))
    assert toy.shards[-1].progress == pytest.approx(1 - 1 / (2 * epochs))


@pytest.mark.parametrize(
    ("every", "epochs"), [(0, [4]), (1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (3, [0, 3, 4]), (9, [0, 4])]
)
def test_validation_is_logged_as_often_as_asked_and_in_the_last_epoch(every: int, epochs: list[int]) -> None:
    run = LocalRun()
    Toy().train(run, TrainingSchedule(5, validate_every=every), validate=lambda epoch: {"ap": epoch / 10})
    assert {row["epoch"]: row["ap"] for row in run.history if "ap" in row} == {e: e / 10 for e in epochs}


@pytest.mark.parametrize(
    ("rate", "last"), [("constant", 0.1), ("cosine", 0.1 * (1 + np.cos(np.pi * 5 / 6)) / 2)]
)
def test_the_learning_rate_follows_the_schedule_and_is_logged(rate: Any, last: float) -> None:
    run = LocalRun()
    Toy().train(run, TrainingSchedule(3, rate=rate))
    assert run.history[-1]["lr"] == pytest.approx(last)


def test_the_rate_rises_linearly_over_the_warm_up() -> None:
    run = LocalRun()
    Toy().train(run, TrainingSchedule(3, warmup_epochs=2))
    assert [row["lr"] for row in run.history] == pytest.approx([0.05, 0.1, 0.1])


def test_a_gradient_is_cut_to_its_longest_length() -> None:
    toy, places = Toy(sgd), [1.0]
    toy.train(
        LocalRun(),
        TrainingSchedule(3, clip_norm=0.5),
        after_step=lambda: places.append(toy.network.weight.item()),
    )
    assert np.abs(np.diff(places)).max() == pytest.approx(0.05)  # the rate is 0.1


def test_averaged_weights_are_a_plain_mean_at_first_and_then_exponential() -> None:
    network = new_network()
    average = WeightAverage(network, 0.5)
    found: list[float] = []
    for value in (2.0, 4.0, 8.0):
        with torch.no_grad():
            network.weight.fill_(value)
        average.follow()
        found.append(average.network.weight.item())
    assert found == [2.0, 3.0, 5.5]


def test_gradients_can_be_changed_before_a_step_and_weights_followed_after_it() -> None:
    toy, seen = Toy(sgd), list[float]()

    def forget(shard: BatchShard) -> None:
        assert shard.size == 4
        assert toy.network.weight.grad is not None
        toy.network.weight.grad.zero_()

    def follow() -> None:
        seen.append(toy.network.weight.item())

    toy.train(LocalRun(), before_step=forget, after_step=follow)
    assert seen == [1.0] * 6


def test_metrics_of_an_epoch_are_logged_beside_its_losses() -> None:
    run = LocalRun()
    Toy().train(run, epoch_metrics=lambda epoch: {"lambda": 1 - epoch / 3})
    assert [row["lambda"] for row in run.history] == pytest.approx([1, 2 / 3, 1 / 3])
    assert all({"epoch", "loss", "lr", "lambda"} == set(row) for row in run.history)


class Watched(LocalRun):
    """The last of several workers, as if the others had no gradients; sees which gradients are sent."""

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        self.sent = [parameter.grad is not None for parameter in parameters]
        if len(self.sent) == 2:
            self.of_weights = self.sent


@pytest.mark.parametrize(("optimiser", "filled"), [(adamw, True), (sgd, False)])
def test_a_weight_without_gradient_gets_0_where_the_optimiser_would_treat_it_otherwise(
    optimiser: Callable[[nn.Module], torch.optim.Optimizer], filled: bool
) -> None:
    run = Watched()
    Toy(optimiser).train(run)
    assert run.of_weights == [True, filled]


class Beside(LocalRun):
    """One of several workers; the others' sums and gradients are 1."""

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        for parameter in parameters:
            assert parameter.grad is not None
            parameter.grad = parameter.grad + 1


@pytest.mark.parametrize(("every_worker", "calls"), [(False, 0), (True, 3)])
def test_a_worker_without_images_is_asked_only_for_losses_that_look_across_workers(
    every_worker: bool, calls: int
) -> None:
    toy, run = Toy(), Beside(rank=2, world_size=3)
    toy.train(run, labels=np.arange(3) < 1, every_worker=every_worker)  # batches of one and one image
    assert len(toy.shards) == calls
    assert all(not shard.positions for shard in toy.shards)
    assert [row["loss"] for row in run.history] == [1, 1, 1]


def test_a_batch_smaller_than_the_workers_is_refused() -> None:
    with pytest.raises(InputError, match=r"batch of 4, 5 workers\. Raise the batch size"):
        Toy().train(LocalRun(world_size=5))


@pytest.mark.parametrize("scores", [[0.1, 0.9, 0.2, 0.3], [0.5, 0.4, 0.5, 0.1], [0.1, 0.2, 0.3, 0.4]])
def test_the_best_epoch_survives_a_kill_and_of_equal_ones_is_the_later(
    scores: list[float], tmp_path: Path
) -> None:
    weights: list[float] = []  # after each epoch of the undisturbed training

    def trained(run: LocalRun) -> Toy:
        toy = Toy()
        best = BestEpoch(toy.network)

        def validate(epoch: int) -> Mapping[str, float]:
            best.offer(epoch, scores[epoch])
            weights.append(toy.network.weight.item())
            return {}

        schedule = TrainingSchedule(4, validate_every=1)
        toy.train(run, schedule, validate=validate, checkpointed={"best": best})
        best.load()
        return toy

    whole = trained(LocalRun())
    expected = max(range(4), key=lambda epoch: (scores[epoch], epoch))
    assert whole.network.weight.item() == weights[expected]
    with pytest.raises(KeyboardInterrupt):
        trained(KilledRun(folder=tmp_path))
    resumed = trained(LocalRun(folder=tmp_path))
    assert torch.equal(resumed.network.weight, whole.network.weight)


class CutRun(LocalRun):
    """A run that has seen enough after the first step."""

    def step(self, done: int, total: int, epochs: int) -> None:
        raise TrainingCutError


def test_a_training_that_is_cut_before_its_first_validation_keeps_the_weights_it_has() -> None:
    toy = Toy()
    best = BestEpoch(toy.network)
    toy.train(CutRun(), checkpointed={"best": best})
    learned = toy.network.weight.item()
    best.load()
    assert toy.network.weight.item() == learned < 1


def test_batch_normalisation_is_refused_with_several_workers_only() -> None:
    check_norm("gan_norm", "bn", LocalRun())
    check_norm("gan_norm", "gn", LocalRun(world_size=2))
    with pytest.raises(InputError, match="so 2 workers would train another model than one"):
        check_norm("gan_norm", "bn", LocalRun(world_size=2))


def test_the_best_epoch_cannot_be_chosen_without_validation() -> None:
    with pytest.raises(InputError, match="validation has 0 defective of 0"):
        check_choice(None)
