"""The training loop of every method that learns from epochs of batches: :func:`train`.

::

    def backward(shard: BatchShard) -> Mapping[str, Tensor]:     # add gradients, return sums of losses
        ...

    train(
        network,
        torch.optim.AdamW(network.parameters(), lr=config.lr),
        run,
        schedule=TrainingSchedule(epochs=50, validate_every=5),
        sampler=BalancedSampler(data.train.labels, config.batch_size),
        hooks=TrainingHooks(backward, losses=("loss",)),
    )

Each worker sums the losses of its own shard of a batch. Divided by the size of the whole batch, the sum of
the workers' gradients is the gradient of the mean, however the batch was divided. The sampler decides what a
batch holds. What else a method does at a step or an epoch, and keeps in a checkpoint, are its hooks.

Trade-off: a loss that is not finite is noticed at the end of its epoch, not of its step. All workers then
agree on it, and a GPU is not made to wait in each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.contract import Run, TrainingCutError, refuse_small_batch, shard
from trainables.nn.batches.sampling import Sampler
from trainables.nn.choices import TrainingSchedule
from trainables.nn.training.parts import (
    Checkpointed,
    TrainingState,
    mean_over_workers,
    require_finite,
    whole_batch_statistics,
)

__all__ = ["BatchShard", "TrainingHooks", "TrainingSchedule", "train"]


class BatchShard(NamedTuple):
    """One worker's images of a batch."""

    positions: Sequence[int]  # as the sampler numbers images
    places: Sequence[int]  # where in the batch they are: random numbers of a batch go by place
    size: int  # images of the whole batch
    epoch: int
    step: int  # of all steps, from 0
    progress: float  # share of all steps that lie behind, in [0, 1)


def _no_metrics(_epoch: int) -> Mapping[str, float]:
    return {}


@dataclass(frozen=True)
class TrainingHooks:
    """A method's part in the loop: its losses, and whatever else it needs.

    ``backward`` adds the gradients of a shard to the network's and returns the sums of its losses over the
    shard's images, by name and without gradient. A worker without an image of a batch does not call it,
    unless ``every_worker``, or batch normalisation takes statistics over all workers' images. Workers return
    the same names in the same order.
    """

    backward: Callable[[BatchShard], Mapping[str, Tensor]]
    losses: Sequence[str]  # names that every epoch logs; ``backward`` may return more
    every_worker: bool = False  # losses look across workers: all of them call ``backward`` in each step
    before_step: Callable[[BatchShard], None] = lambda _shard: None  # change gradients, summed over workers
    after_step: Callable[[], None] = lambda: None  # follow the new weights, as a running average does
    epoch_metrics: Callable[[int], Mapping[str, float]] = _no_metrics  # logged, as the weights of losses are
    validate: Callable[[int], Mapping[str, float]] = _no_metrics  # in the epochs that the schedule names
    checkpointed: Mapping[str, Checkpointed] = field(default_factory=dict[str, Checkpointed])


def train(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    run: Run,
    *,
    schedule: TrainingSchedule,
    sampler: Sampler,
    hooks: TrainingHooks,
) -> None:
    """Train ``network``, or go on from the run's checkpoint; the weights are those of the last epoch.

    Logs per epoch the losses as means over its images and all workers, ``lr``, and what the hooks return.

    Args:
        network: On the run's device; what it holds is checkpointed.
        optimiser: Of all its weights that require a gradient; the rate of its first group is logged.
        run: Random numbers, workers, log and checkpoints.
        schedule: How long.
        sampler: Draws the batches.
        hooks: The method's part.

    Raises:
        InputError: If the batch is smaller than the number of workers.
        Diverged: If a loss or weight is no longer finite.
    """
    # Epochs are added until there are enough steps; the schedule then falls over all of them.
    refuse_small_batch(sampler.batch_size, run.world_size)
    epochs = max(schedule.epochs, -(-schedule.min_steps // sampler.steps))
    steps = epochs * sampler.steps
    rates = [float(group["lr"]) for group in optimiser.param_groups]
    state = TrainingState(network, optimiser, sampler, hooks.checkpointed)
    with suppress(TrainingCutError), whole_batch_statistics(network, run) as shared:
        for epoch in range(state.restore(run), epochs):
            network.train()
            sums = {name: torch.zeros((), device=run.device) for name in hooks.losses}
            count = 0
            for step, batch in enumerate(sampler.epoch(epoch, run.generator), start=epoch * sampler.steps):
                # A rate is a function of the step and not of the rate before, so a resumed training has the
                # same.
                for group, rate in zip(optimiser.param_groups, rates, strict=True):
                    group["lr"] = schedule.rate_at(rate, step, steps, sampler.steps)
                optimiser.zero_grad()
                # This worker's share of the batch, with the places of its images in the whole.
                places = shard(range(len(batch)), run.rank, run.world_size)
                images = BatchShard(run.shard(batch), places, len(batch), epoch, step, step / steps)
                if images.positions or hooks.every_worker or shared:
                    # Losses stay on the device until the epoch ends; reading them here would wait for the
                    # GPU in each step.
                    for name, value in hooks.backward(images).items():
                        sums[name] = sums[name] + value if name in sums else value
                count += len(images.positions)
                # Only after the sum over workers are gradients those of the whole batch, so clipping and
                # the method's own changes come behind it.
                if not _stays_without_gradient(optimiser):
                    _fill_gradients(network.parameters())
                run.reduce(network.parameters())
                hooks.before_step(images)
                if schedule.clip_norm:
                    nn.utils.clip_grad_norm_(network.parameters(), schedule.clip_norm)
                optimiser.step()
                hooks.after_step()
                run.step(step + 1, steps, epochs)
            # Means over all workers, equal on each, so all of them stop together when one is not finite.
            # Nothing is logged or kept of an epoch that ran away.
            metrics = {**mean_over_workers(sums, count, run), "lr": optimiser.param_groups[0]["lr"]}
            require_finite(epoch, metrics, network)
            metrics |= hooks.epoch_metrics(epoch)
            if schedule.validates(epoch, epochs):
                metrics |= hooks.validate(epoch)
            run.log(epoch, metrics, epochs)
            state.save(run, epoch + 1)


def _stays_without_gradient(optimiser: torch.optim.Optimizer) -> bool:
    """Say if a gradient of 0 moves a weight no more than a missing one: plain SGD."""
    group = optimiser.param_groups[0]
    return isinstance(optimiser, torch.optim.SGD) and not (group["momentum"] or group["weight_decay"])


def _fill_gradients(weights: Iterable[nn.Parameter]) -> None:
    """Give 0 to weights that a batch left without gradient, as a batch without masks leaves a mask head.

    Adam skips such a weight, and after a sum over workers would not: zeros make both the same.
    """
    for weight in weights:
        if weight.grad is None and weight.requires_grad:
            weight.grad = torch.zeros_like(weight)
