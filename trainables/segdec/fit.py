"""SegDecNet's training, from top to bottom.

Gradients are summed over a batch (or averaged: ``batch_gradient``), as in the published loop, which runs its
images one by one. Images are
independent of each other here (FeatureNorm knows one image at a time), so several of them run as one
forward pass with summed losses. Under the gradient stop an image without mask needs no backward pass
through trunk and mask head; such images run apart.

Trade-off: a loss that is not finite is noticed at the end of its epoch, not of its step: all workers then
agree on it, and a GPU is not made to wait in each step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trainables.contract import Checkpoint, Run, refuse_small_batch
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.tensors import images_to_tensor
from trainables.errors import Diverged, InputError
from trainables.evaluate import image_scores
from trainables.metrics import Undefined, image_ap
from trainables.nn.models import forward_context, with_layout
from trainables.segdec.config import SegDecConfig
from trainables.segdec.loss import Losses, LossWeights, segdec_loss
from trainables.segdec.network import SegDecNet, initialise
from trainables.segdec.predictor import SegDecPredictor, images_per_pass
from trainables.segdec.sampler import Sampler
from trainables.segdec.targets import MaskTarget, TargetBatch, make_target

__all__ = ["fit", "new_network", "train_batch"]

_VALIDATION_BATCH = 16  # images sent at once; the predictor divides further


def fit(config: SegDecConfig, data: TrainingData, run: Run) -> SegDecPredictor:
    """Train SegDecNet on ``data``.

    Logs per epoch: ``loss``, ``loss_seg``, ``loss_cls`` (means over the epoch's images and all workers),
    ``lambda`` (under a schedule) and, where it is computed, ``validation.image_ap``.

    Raises:
        InputError: If the images do not fit the config, or there is nothing to choose the best epoch by.
        Diverged: If loss or weights are no longer finite.
    """
    config = config.resolved("cuda" if run.device.type == "cuda" else "cpu")
    _check(config, data, run)
    network = new_network(config, int(run.generator("init").integers(2**63)), run.device)
    optimiser = torch.optim.SGD(network.parameters(), lr=config.lr)
    sampler = Sampler.over(data.train.labels, config)
    targets = [make_target(sample, config) for sample in data.train]
    best = _Best()
    start = _go_on(run.resume(), network, sampler, best)

    for epoch in range(start, config.epochs):
        sums = torch.zeros(4, device=run.device)
        batches = sampler.epoch(run.generator("order", epoch))
        for step, batch in enumerate(batches, start=epoch * len(batches)):
            optimiser.zero_grad()
            sums += train_batch(network, data.train, targets, run.shard(batch), epoch=epoch, config=config)
            run.reduce(network.parameters())
            if config.batch_gradient == "mean":
                _divide_gradients(network, len(batch))
            optimiser.step()
            run.step(step + 1, config.epochs * len(batches), config.epochs)
        metrics = _mean_losses(sums, network, run, epoch)
        if config.balance != "none":
            metrics["lambda"] = LossWeights.at(epoch, config).seg
        if data.validation is not None and _validates(epoch, config):
            metrics |= _validate(network, data.validation, config, run.device)
            if config.checkpoint == "best":
                best.offer(epoch, metrics["validation.image_ap"], network)
        run.log(epoch, metrics, config.epochs)
        state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
        state |= {f"best.{name}": tensor for name, tensor in best.tensors.items()}
        run.checkpoint(epoch + 1, state, {"sampler": sampler.state(), "best": [best.epoch, best.score]})

    if config.checkpoint == "best":
        network.load_state_dict(best.tensors)
    return SegDecPredictor(network, config)


def new_network(config: SegDecConfig, seed: int, device: torch.device) -> SegDecNet:
    """A network with its initial weights, in the config's memory format."""
    network = SegDecNet(config)
    initialise(network, seed)
    return with_layout(network, config).to(device)


def train_batch(
    network: SegDecNet,
    images: ImageSet,
    targets: Sequence[MaskTarget],
    batch: Sequence[int],
    *,
    epoch: int,
    config: SegDecConfig,
) -> Tensor:
    """Add the summed gradients of a batch (positions in ``images``) to the network's.

    Returns:
        Sums over the batch: total, segmentation and classification loss, and the number of images.
    """
    device = network.fc.weight.device
    weights = LossWeights.at(epoch, config)
    stop = config.gradient_stop or epoch < config.forced_stop_epochs
    cells = (config.image_size[0] // 8, config.image_size[1] // 8)
    sums = torch.zeros(4, device=device)
    for part, trunk_gradient in _parts(targets, batch, stop, images_per_pass(config, device)):
        image_BCHW = images_to_tensor([images[i].image for i in part], device)
        target = TargetBatch.of([targets[i] for i in part], cells, device)
        with forward_context(config, device):
            output = network(image_BCHW, stop=stop, trunk_gradient=trunk_gradient)
        losses = segdec_loss(output.cls_logits_B, output.seg_logits_B1hw, target, weights)
        losses.total.backward()
        sums += _row(losses, len(part))
    return sums


def _parts(
    targets: Sequence[MaskTarget], batch: Sequence[int], stop: bool, size: int
) -> list[tuple[Sequence[int], bool]]:
    """The batch in parts of at most ``size`` images, each with whether the trunk needs a gradient."""
    without = [i for i in batch if stop and targets[i].gamma == 0]
    with_trunk = [i for i in batch if not (stop and targets[i].gamma == 0)]
    return [
        (group[start : start + size], trunk_gradient)
        for group, trunk_gradient in ((with_trunk, True), (without, False))
        for start in range(0, len(group), size)
    ]


def _divide_gradients(network: SegDecNet, images: int) -> None:
    """From the sum to the mean over the global batch, whatever number of workers summed it."""
    for parameter in network.parameters():
        if parameter.grad is not None:
            parameter.grad /= images


def _row(losses: Losses, count: int) -> Tensor:
    return torch.stack(
        (losses.total.detach(), losses.seg, losses.cls, torch.full_like(losses.seg, float(count)))
    )


def _check(config: SegDecConfig, data: TrainingData, run: Run) -> None:
    refuse_small_batch(config.batch_size, run.world_size)
    labels = [] if data.validation is None else data.validation.labels
    if config.checkpoint == "best" and len(set(labels)) < 2:
        raise InputError(
            "checkpoint: best chooses the epoch by validation image AP, which needs defective and normal "
            f"images; validation has {sum(labels)} defective of {len(labels)}. "
            "Set data.validation: {share: 0.2, by: item}, or checkpoint: last."
        )
    expected = (*config.image_size, config.channels)
    found = data.train[0].image.shape
    if found != expected:
        raise InputError(
            f"images have the config's image_size and channels, {expected}, found {found} in "
            f"{data.train.ids[0]}. Prepare the images with this config's size."
        )


def _validates(epoch: int, config: SegDecConfig) -> bool:
    return epoch % config.validate_every == 0 or epoch == config.epochs - 1


def _validate(
    network: SegDecNet, validation: ImageSet, config: SegDecConfig, device: torch.device
) -> dict[str, float]:
    """Validation image AP; every worker computes it, so that all choose the same epoch."""
    scores = image_scores(SegDecPredictor(network, config), validation, device, _VALIDATION_BATCH)
    score = image_ap(validation.labels, scores)
    if isinstance(score, Undefined):
        return {}
    return {"validation.image_ap": score}


def _mean_losses(sums: Tensor, network: SegDecNet, run: Run, epoch: int) -> dict[str, float]:
    """Mean losses of an epoch over all workers; every worker finds the same, so all stop or none."""
    carrier = torch.nn.Parameter(torch.zeros_like(sums))
    carrier.grad = sums
    run.reduce([carrier])
    total, seg, cls, count = carrier.grad.tolist()  # of all workers; this one may have seen no image
    metrics = {"loss": total / count, "loss_seg": seg / count, "loss_cls": cls / count}
    for name, value in metrics.items():
        if not abs(value) < float("inf"):
            raise Diverged(epoch, f"{name} is {value}")
    for name, tensor in network.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise Diverged(epoch, f"{name} holds a weight that is not finite")
    return metrics


class _Best:
    """The best epoch so far by validation image AP; of equal ones the later, which is trained longer."""

    def __init__(self) -> None:
        self.epoch, self.score = -1, -1.0
        self.tensors: dict[str, Tensor] = {}

    def offer(self, epoch: int, score: float, network: SegDecNet) -> None:
        if score >= self.score:
            self.epoch, self.score = epoch, score
            self.tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _go_on(state: Checkpoint | None, network: SegDecNet, sampler: Sampler, best: _Best) -> int:
    """Restore everything from a checkpoint, if there is one; returns the epoch to start with."""
    if state is None:
        return 0
    network.load_state_dict(_under("model.", state.tensors))
    device = network.fc.weight.device
    best.tensors = {name: tensor.to(device) for name, tensor in _under("best.", state.tensors).items()}
    best.epoch, best.score = state.meta["best"]
    sampler.restore(state.meta["sampler"])
    return state.epoch


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
