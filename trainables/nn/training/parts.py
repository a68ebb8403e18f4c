"""Parts of training loops: checks, state in checkpoints, an optimiser's as tensors, means over workers."""

from __future__ import annotations

import copy
import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd import Function

from trainables.contract import Predictor, Run, TrainableConfig, batch_norm_objection
from trainables.data.samples import ImageSet
from trainables.errors import Diverged, InputError
from trainables.evaluation.evaluate import image_scores
from trainables.evaluation.metrics import Undefined, image_ap
from trainables.nn.batches.sampling import Sampler
from trainables.nn.choices import Norm
from trainables.nn.layers.norm import BatchNorm

__all__ = [
    "BestEpoch",
    "Checkpointed",
    "TrainingState",
    "WeightAverage",
    "check_choice",
    "check_images",
    "check_norm",
    "mean_over_workers",
    "optimiser_tensors",
    "require_finite",
    "restore_optimiser",
    "sum_over_workers",
    "tensors_under",
    "validation_ap",
    "whole_batch_statistics",
]


_NetworkT = TypeVar("_NetworkT", bound=nn.Module)
_VALIDATION_BATCH = 16  # images sent at once; a predictor divides further


def check_images(config: TrainableConfig, images: ImageSet) -> None:
    """Refuse images of another size than the config's.

    Raises:
        InputError: If the first image (all have one size) has another size or number of channels.
    """
    expected, shape = (*config.image_size, config.channels), images[0].image.shape
    if shape != expected:
        raise InputError(
            f"images have the config's image_size and channels, {expected}, found {shape} in "
            f"{images.ids[0]}. Prepare the images with this config's size."
        )


def check_norm(setting: str, norm: Norm, run: Run) -> None:
    """Refuse batch normalisation with several workers, where a loop gives each its own statistics.

    Args:
        setting: Name of the setting in the config.
        norm: Its value.
        run: With its workers.

    Raises:
        InputError: Otherwise.
    """
    if norm == "bn" and run.world_size > 1:
        raise InputError(batch_norm_objection(setting, run.world_size))


def check_choice(validation: ImageSet | None) -> None:
    """Refuse to choose the best epoch where validation has no image AP.

    Raises:
        InputError: If it lacks defective or normal images.
    """
    labels = [] if validation is None else validation.labels
    if len(set(labels)) < 2:
        raise InputError(
            "checkpoint: best chooses the epoch by validation image AP, which needs defective and normal "
            f"images; validation has {sum(labels)} defective of {len(labels)}. "
            "Set data.validation: {share: 0.2, by: item}, or checkpoint: last."
        )


def optimiser_tensors(optimiser: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """The optimiser's state by ``<parameter>/<key>``; every value of it must be a tensor."""
    return {
        f"{name}/{key}": value
        for name, parameter in _trained(network).items()
        for key, value in optimiser.state[parameter].items()
    }


class Checkpointed(Protocol):
    """State that a checkpoint holds beside network, optimiser and sampler."""

    def tensors(self) -> Mapping[str, Tensor]:
        """Return its tensors by name."""
        ...

    def state(self) -> Any:
        """Return the rest of it, a JSON value."""
        ...

    def restore(self, tensors: Mapping[str, Tensor], state: Any) -> None:
        """Go on from what the other two returned."""
        ...


@dataclass(frozen=True, eq=False)
class TrainingState:
    """All that a training needs to go on."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    sampler: Sampler
    further: Mapping[str, Checkpointed] = field(default_factory=dict[str, Checkpointed])  # by name

    def save(self, run: Run, epochs: int) -> None:
        """Checkpoint the state after ``epochs`` finished epochs."""
        # Tensors go by a prefix for each part, all else into the checkpoint's JSON.
        tensors = {f"model.{name}": tensor for name, tensor in self.network.state_dict().items()}
        moments = optimiser_tensors(self.optimiser, self.network)
        tensors |= {f"optimiser.{name}": tensor for name, tensor in moments.items()}
        meta: dict[str, Any] = {"sampler": self.sampler.state()}
        for key, part in self.further.items():
            tensors |= {f"{key}.{name}": tensor for name, tensor in part.tensors().items()}
            meta[key] = part.state()
        run.checkpoint(epochs, tensors, meta)

    def restore(self, run: Run) -> int:
        """Go on from the run's checkpoint, if there is one; returns the epoch to start with."""
        checkpoint = run.resume()
        if checkpoint is None:
            return 0
        self.network.load_state_dict(tensors_under("model.", checkpoint.tensors))
        restore_optimiser(self.optimiser, self.network, tensors_under("optimiser.", checkpoint.tensors))
        self.sampler.restore(checkpoint.meta["sampler"])
        for key, part in self.further.items():
            part.restore(tensors_under(f"{key}.", checkpoint.tensors), checkpoint.meta[key])
        return checkpoint.epoch


class BestEpoch:
    """The weights of the best epoch so far; of equal ones the later, which is trained longer."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._epoch, self._score = -1, -1.0
        self._weights: dict[str, Tensor] = {}

    def offer(self, epoch: int, score: float) -> None:
        """Keep the network's weights if ``score`` is the best so far."""
        if score >= self._score:
            self._epoch, self._score = epoch, score
            self._weights = {name: t.detach().clone() for name, t in self._network.state_dict().items()}

    def load(self) -> None:
        """Give the network the weights of the best epoch; without a validation it keeps its own."""
        if self._weights:
            self._network.load_state_dict(self._weights)

    def tensors(self) -> Mapping[str, Tensor]:
        return self._weights

    def state(self) -> tuple[int, float]:
        return self._epoch, self._score

    def restore(self, tensors: Mapping[str, Tensor], state: tuple[int, float]) -> None:
        places = self._network.state_dict()
        self._weights = {name: tensor.to(places[name].device) for name, tensor in tensors.items()}
        self._epoch, self._score = state


class WeightAverage(Generic[_NetworkT]):
    """A copy of a network with the running average of its weights over the steps.

    Until step 1 / (1 − decay) it is their plain mean, so that no weight of the start outweighs what was
    learnt. From there on it is exponential.
    """

    def __init__(self, network: _NetworkT, decay: float) -> None:
        """Begin an average that holds ``network``'s weights until the first step.

        Args:
            network: That is trained.
            decay: Share of the average that a step keeps, 0 to below 1.
        """
        self.network: _NetworkT = copy.deepcopy(network).requires_grad_(requires_grad=False)
        self._trained, self._decay, self._steps = network, decay, 0

    @torch.no_grad()
    def follow(self) -> None:
        """Take the weights of another step in."""
        self._steps += 1
        share = max(1 - self._decay, 1 / self._steps)
        # Running statistics of normalisations are averaged with the weights they belong to.
        for mean, new in zip(self.tensors().values(), self._trained.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(new, share)
            else:
                mean.copy_(new)  # batches that a normalisation has counted

    def tensors(self) -> Mapping[str, Tensor]:
        return dict(self.network.state_dict())

    def state(self) -> int:
        return self._steps

    def restore(self, tensors: Mapping[str, Tensor], state: int) -> None:
        self.network.load_state_dict(dict(tensors))
        self._steps = state


def restore_optimiser(
    optimiser: torch.optim.Optimizer, network: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """Restore what :func:`optimiser_tensors` returned.

    Args:
        optimiser: Of all weights of ``network`` that require a gradient, in any groups.
        network: That it trains.
        tensors: By ``<parameter>/<key>``.
    """
    trained = _trained(network)
    # torch numbers an optimiser's weights through its groups, in their order; checkpoints go by name, which
    # a change of groups leaves alone.
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    places = {id(weight): place for place, weight in enumerate(weights)}
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        name, _, part = key.rpartition("/")
        state.setdefault(places[id(trained[name])], {})[part] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    for parameter in trained.values():
        for key, value in optimiser.state[parameter].items():
            # The parameter's own layout, so that sums run in one order. A lone number has none, and the count
            # of steps stays on the host.
            if value.ndim and value.shape == parameter.shape:
                optimiser.state[parameter][key] = torch.empty_like(parameter).copy_(value)


def _trained(network: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


def sum_over_workers(part: Tensor, run: Run) -> Tensor:
    """The sum of what each worker has, on all of them and without gradient."""
    # ``Run.reduce`` sums gradients and nothing else, so the numbers travel as one.
    carrier = nn.Parameter(torch.zeros_like(part))
    carrier.grad = part
    run.reduce([carrier])
    assert carrier.grad is not None
    return carrier.grad.detach()


class _SumOverWorkers(Function):
    """:func:`sum_over_workers` with a gradient: what is summed serves all workers, so theirs are summed."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, run: Run) -> Tensor:
        ctx.run = run
        return sum_over_workers(part.clone(), run)  # the sum may be made in place

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return sum_over_workers(gradients[0].clone(), ctx.run), None


@contextmanager
def whole_batch_statistics(network: nn.Module, run: Run) -> Generator[bool]:
    """Batch normalisation in ``network`` takes the statistics of all workers' images within the block.

    Every worker then calls each such layer as often and in the same order as the others, with images or
    without, and goes back through it.

    Yields:
        True if there is such a layer and another worker.
    """
    layers = [module for module in network.modules() if isinstance(module, BatchNorm)]
    shared = run.world_size > 1 and bool(layers)

    def summed(part: Tensor) -> Tensor:
        total = _SumOverWorkers.apply(part, run)
        assert isinstance(total, Tensor)
        return total

    try:
        for layer in layers if shared else ():
            layer.sum_over_workers = summed
        yield shared
    finally:
        for layer in layers if shared else ():
            layer.sum_over_workers = None


def mean_over_workers(sums: Mapping[str, Tensor], count: float, run: Run) -> dict[str, float]:
    """Means of what all workers summed over all their counts: equal on every worker.

    Args:
        sums: Scalars of this worker by name; the same names in the same order on all workers.
        count: Of what this worker summed over; 0 if it saw nothing.
        run: With its workers.
    """
    # Sums and their count in one message. A worker that saw nothing adds 0 to both.
    row = torch.stack([*sums.values(), torch.full((), float(count), device=run.device)])
    *totals, whole = sum_over_workers(row, run).tolist()
    return {name: total / whole for name, total in zip(sums, totals, strict=True)}


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


def validation_ap(
    predictor: Predictor, validation: ImageSet | None, device: torch.device
) -> dict[str, float]:
    """``validation.image_ap``; nothing where one class is missing. Every worker computes it."""
    if validation is None:
        return {}
    score = image_ap(validation.labels, image_scores(predictor, validation, device, _VALIDATION_BATCH))
    return {} if isinstance(score, Undefined) else {"validation.image_ap": score}


def tensors_under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose name starts with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
