"""What training loops share: an optimiser whose state is tensors by name, means over workers, validation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from trainables.contract import Predictor, Run
from trainables.data.samples import ImageSet
from trainables.errors import Diverged
from trainables.evaluate import image_scores
from trainables.metrics import Undefined, image_ap
from trainables.nn.sampling import BalancedSampler

__all__ = [
    "Schedule",
    "learning_rate",
    "mean_over_workers",
    "optimiser_tensors",
    "require_finite",
    "restore_checkpoint",
    "restore_optimiser",
    "save_checkpoint",
    "tensors_under",
    "validation_ap",
]

Schedule = Literal["constant", "cosine"]

_VALIDATION_BATCH = 16  # images sent at once; a predictor divides further


def learning_rate(lr: float, schedule: Schedule, step: int, steps: int) -> float:
    """The rate of ``step`` (from 0) out of ``steps``; a function of the step, so that nothing need be kept.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, Eq. 5 without restarts (cosine).
    """
    return lr if schedule == "constant" else lr * (1 + math.cos(math.pi * step / steps)) / 2


def optimiser_tensors(optimiser: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """The optimiser's state by ``<parameter>/<key>``; every value of it must be a tensor."""
    return {
        f"{name}/{key}": value
        for name, parameter in _trained(network).items()
        for key, value in optimiser.state[parameter].items()
    }


def save_checkpoint(
    run: Run, epochs: int, network: nn.Module, optimiser: torch.optim.Optimizer, sampler: BalancedSampler
) -> None:
    """Checkpoint network, optimiser and sampler after ``epochs`` finished epochs."""
    tensors = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"optimiser.{name}": t for name, t in optimiser_tensors(optimiser, network).items()}
    run.checkpoint(epochs, tensors, {"sampler": sampler.state()})


def restore_checkpoint(
    run: Run, network: nn.Module, optimiser: torch.optim.Optimizer, sampler: BalancedSampler
) -> int:
    """Restore what :func:`save_checkpoint` kept, if there is anything; returns the epoch to start with."""
    state = run.resume()
    if state is None:
        return 0
    network.load_state_dict(tensors_under("model.", state.tensors))
    restore_optimiser(optimiser, network, tensors_under("optimiser.", state.tensors))
    sampler.restore(state.meta["sampler"])
    return state.epoch


def restore_optimiser(
    optimiser: torch.optim.Optimizer, network: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """Go on from :func:`optimiser_tensors`; the optimiser has one group, all that require a gradient."""
    trained = _trained(network)
    names = list(trained)
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        name, _, part = key.rpartition("/")
        state.setdefault(names.index(name), {})[part] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    for parameter in trained.values():
        for key, value in optimiser.state[parameter].items():
            if value.shape == parameter.shape:  # the parameter's own layout, so that sums run in one order
                optimiser.state[parameter][key] = torch.empty_like(parameter).copy_(value)


def _trained(network: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


def mean_over_workers(sums: Tensor, run: Run) -> list[float]:
    """All but the last of ``sums`` over all workers, divided by the last (a count): equal on every worker."""
    carrier = nn.Parameter(torch.zeros_like(sums))
    carrier.grad = sums
    run.reduce([carrier])
    assert carrier.grad is not None
    *totals, count = carrier.grad.tolist()
    return [total / count for total in totals]


def require_finite(epoch: int, losses: Mapping[str, float], network: nn.Module) -> None:
    """Stop a training that ran away.

    Raises:
        Diverged: If a loss, weight or running statistic is not finite.
    """
    for name, value in losses.items():
        if not math.isfinite(value):
            raise Diverged(epoch, f"{name} is {value}")
    for name, tensor in network.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise Diverged(epoch, f"{name} holds a weight that is not finite")


def validation_ap(predictor: Predictor, validation: ImageSet, device: torch.device) -> dict[str, float]:
    """``validation.image_ap``, or nothing where one class is missing. Every worker computes it."""
    score = image_ap(validation.labels, image_scores(predictor, validation, device, _VALIDATION_BATCH))
    return {} if isinstance(score, Undefined) else {"validation.image_ap": score}


def tensors_under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose name starts with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
