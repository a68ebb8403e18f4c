"""The training loop of the nets here: networks with an optimiser of their own, so many steps, no epochs.

It is not :func:`trainables.nn.training.loop.train`, which moves one network by one optimiser once a batch: a
step of a GAN moves its critic several times and then its generator, each by an optimiser of its own, and a
training is as long as its steps, not as its images. Log, means and checkpoints are the same.

Each worker sums the losses of its own shard of a batch, divided by the size of the whole batch. The sum of
the workers' gradients is then the gradient of the mean. Random numbers go by the number of the step, so
nothing of them is kept in a checkpoint. All networks and optimisers are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainables.contract import Run, TrainingCutError
from trainables.nn.training.parts import (
    mean_over_workers,
    optimiser_tensors,
    require_finite,
    restore_optimiser,
    tensors_under,
)

__all__ = ["Learner", "train"]


@dataclass(frozen=True, eq=False)
class Learner:
    """A network that learns."""

    name: str  # of its tensors in a checkpoint
    network: nn.Module
    optimiser: torch.optim.Optimizer  # of all its weights

    def step(self, loss: Tensor | None, run: Run) -> None:
        """One step down the sum of all workers' losses; None: this worker has no part of the batch.

        Gradients go to this network's weights only, whatever else the loss came through.
        """
        weights = list(self.network.parameters())
        # Gradients are asked for by weight: ``backward`` would leave some in the other networks that the
        # loss came through.
        if loss is None:
            slopes = tuple(torch.zeros_like(weight) for weight in weights)
        else:
            slopes = torch.autograd.grad(loss, weights)
        for weight, slope in zip(weights, slopes, strict=True):
            weight.grad = slope
        run.reduce(weights)
        self.optimiser.step()


def train(
    learners: Sequence[Learner],
    run: Run,
    *,
    steps: int,
    epoch_steps: int,
    losses: Sequence[str],
    step: Callable[[int], Tensor],
) -> None:
    """Train for so many steps; what is logged and kept as an epoch is a number of them.

    Args:
        learners: On the run's device, in training mode.
        run: Random numbers, workers, checkpoints.
        steps: In all.
        epoch_steps: Between two lines of the log, each followed by a checkpoint.
        losses: Names of what ``step`` sums, as they are logged.
        step: Makes a step, given its number from 0; returns sums of its losses over this worker's part, and
            their count.

    Raises:
        Diverged: If a loss or weight is no longer finite.
    """
    epochs = -(-steps // epoch_steps)
    with suppress(TrainingCutError):
        for epoch in range(_restore(learners, run), epochs):
            # The last number counts what was summed, so means are right when workers have shares of
            # different sizes.
            sums = torch.zeros(len(losses) + 1, device=run.device)
            for number in range(epoch * epoch_steps, min((epoch + 1) * epoch_steps, steps)):
                sums += step(number)
                run.step(number + 1, steps, epochs)
            *totals, count = sums
            metrics = mean_over_workers(dict(zip(losses, totals, strict=True)), float(count), run)
            for learner in learners:
                require_finite(epoch, metrics, learner.network)
            run.log(epoch, metrics, epochs)
            run.checkpoint(epoch + 1, _tensors(learners), {})


def _tensors(learners: Sequence[Learner]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for learner in learners:
        tensors |= {f"{learner.name}.model.{name}": t for name, t in learner.network.state_dict().items()}
        optimiser = optimiser_tensors(learner.optimiser, learner.network)
        tensors |= {f"{learner.name}.optimiser.{name}": t for name, t in optimiser.items()}
    return tensors


def _restore(learners: Sequence[Learner], run: Run) -> int:
    """Restore everything from a checkpoint, if there is one; returns the epoch to start with."""
    checkpoint = run.resume()
    if checkpoint is None:
        return 0
    for learner in learners:
        learner.network.load_state_dict(tensors_under(f"{learner.name}.model.", checkpoint.tensors))
        moments = tensors_under(f"{learner.name}.optimiser.", checkpoint.tensors)
        restore_optimiser(learner.optimiser, learner.network, moments)
    return checkpoint.epoch
