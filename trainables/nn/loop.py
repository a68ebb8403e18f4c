"""The training loop of nets that learn by one optimiser: segmentation nets on pseudo labels, inpainters.

Each worker sums the losses of its own part of a batch, divided by the size of the whole batch; the sum of the
workers' gradients is then the gradient of the mean. What a batch holds is the sampler's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.contract import Run, refuse_small_batch, shard
from trainables.nn.sampling import BalancedSampler
from trainables.nn.training import (
    Schedule,
    learning_rate,
    mean_over_workers,
    require_finite,
    restore_checkpoint,
    save_checkpoint,
)

__all__ = ["Part", "TrainingSchedule", "train"]


@dataclass(frozen=True)
class TrainingSchedule:
    """Length and pace of a training."""

    epochs: int
    min_steps: int  # epochs are added until there are as many
    batch_size: int
    lr: float
    weight_decay: float
    schedule: Schedule


class Part(NamedTuple):
    """This worker's part of a batch."""

    positions: Sequence[int]  # as the sampler numbers images; never empty
    places: Sequence[int]  # where in the batch they are: random numbers of a batch go by place
    size: int  # images of the whole batch
    epoch: int
    step: int  # of all steps, from 0
    progress: float  # share of all steps that lie behind, in [0, 1)


def train(
    network: nn.Module,
    run: Run,
    course: TrainingSchedule,
    sampler: BalancedSampler,
    *,
    losses: Sequence[str],
    backward: Callable[[Part], Tensor],
    at_the_end: Callable[[], Mapping[str, float]] = dict,
) -> None:
    """Train with AdamW; the weights are those of the last epoch.

    Args:
        network: On the run's device.
        run: Random numbers, workers, checkpoints.
        course: How long.
        sampler: Draws the batches.
        losses: Names of what ``backward`` sums, as they are logged.
        backward: Adds the gradients of a part of a batch and returns the sums of its losses, and their count.
        at_the_end: Further metrics of the last epoch.

    Raises:
        InputError: If the batch is smaller than the number of workers.
        Diverged: If loss or weights are no longer finite.
    """
    refuse_small_batch(course.batch_size, run.world_size)
    optimiser = torch.optim.AdamW(network.parameters(), lr=course.lr, weight_decay=course.weight_decay)
    for parameter in network.parameters():  # AdamW skips a weight without gradient; a sum over workers has 0
        parameter.grad = torch.zeros_like(parameter)
    epochs = max(course.epochs, -(-course.min_steps // sampler.steps))
    steps = epochs * sampler.steps
    start = restore_checkpoint(run, network, optimiser, sampler)
    for epoch in range(start, epochs):
        network.train()
        sums = torch.zeros(len(losses) + 1, device=run.device)
        batches = sampler.epoch(run.generator("order", epoch), lambda n: run.generator("negatives", n))
        for step, batch in enumerate(batches, start=epoch * sampler.steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(course.lr, course.schedule, step, steps)
            optimiser.zero_grad(set_to_none=False)
            positions = run.shard(batch)
            if positions:
                places = shard(range(len(batch)), run.rank, run.world_size)
                sums += backward(Part(positions, places, len(batch), epoch, step, step / steps))
            run.reduce(network.parameters())
            optimiser.step()
            run.step(step + 1, steps, epochs)
        metrics = dict(zip(losses, mean_over_workers(sums, run), strict=True))
        metrics["lr"] = optimiser.param_groups[0]["lr"]
        if epoch == epochs - 1:
            metrics |= at_the_end()
        require_finite(epoch, metrics, network)
        run.log(epoch, metrics, epochs)
        save_checkpoint(run, epoch + 1, network, optimiser, sampler)
