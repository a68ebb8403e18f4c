"""The training loop of the nets that come after the classifier: an inpainter, and segmentation nets.

Each worker sums the losses of its own part of a batch, divided by the size of the whole batch; the sum of the
workers' gradients is then the gradient of the mean. A batch of segmentation nets is half defective; the
inpainter's has normal images only.
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
    optimiser_tensors,
    require_finite,
    restore_optimiser,
    tensors_under,
)

__all__ = ["Course", "Part", "train"]


@dataclass(frozen=True)
class Course:
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


def train(
    network: nn.Module,
    run: Run,
    course: Course,
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
    start = _go_on(run, network, optimiser, sampler)
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
                sums += backward(Part(positions, places, len(batch), epoch, step))
            run.reduce(network.parameters())
            optimiser.step()
            run.step(step + 1, steps, epochs)
        metrics = dict(zip(losses, mean_over_workers(sums, run), strict=True))
        metrics["lr"] = optimiser.param_groups[0]["lr"]
        if epoch == epochs - 1:
            metrics |= at_the_end()
        require_finite(epoch, metrics, network)
        run.log(epoch, metrics, epochs)
        state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
        state |= {f"optimiser.{name}": t for name, t in optimiser_tensors(optimiser, network).items()}
        run.checkpoint(epoch + 1, state, {"sampler": sampler.state()})


def _go_on(run: Run, network: nn.Module, optimiser: torch.optim.Optimizer, sampler: BalancedSampler) -> int:
    """Restore everything from a checkpoint, if there is one; returns the epoch to start with."""
    state = run.resume()
    if state is None:
        return 0
    network.load_state_dict(tensors_under("model.", state.tensors))
    restore_optimiser(optimiser, network, tensors_under("optimiser.", state.tensors))
    sampler.restore(state.meta["sampler"])
    return state.epoch
