"""SegDecNet's training, from top to bottom.

Gradients are summed over a batch (or averaged: ``batch_gradient``), as in the published loop, which runs its
images one by one. Images are independent of each other here (FeatureNorm knows one image at a time), so
several of them run as one forward pass with summed losses. Under the gradient stop an image without mask
needs no backward pass through trunk and mask head. Such images run apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from trainables.contract import Run
from trainables.data.samples import ImageSet, TrainingData
from trainables.nn.batches.augmentation import Augmentation, drawn_views
from trainables.nn.batches.on_device import TrainingImages, numbers
from trainables.nn.batches.passes import images_per_pass
from trainables.nn.layers.initialisation import drawn_seed
from trainables.nn.models import forward_context
from trainables.nn.training.loop import BatchShard, TrainingHooks, TrainingSchedule, train
from trainables.nn.training.parts import BestEpoch, WeightAverage, check_choice, check_images, validation_ap
from trainables.nn.training.static_pass import GradientPlaces, StaticPass
from trainables.segdec.config import SegDecConfig
from trainables.segdec.loss import LossWeights, segdec_loss
from trainables.segdec.network import SegDecNet, new_network
from trainables.segdec.predictor import SegDecPredictor
from trainables.segdec.sampler import SegDecSampler
from trainables.segdec.targets import TargetBatch, TrainingTargets

__all__ = ["SegDecStep", "fit"]

_LOSSES = ("loss", "loss_seg", "loss_cls")
_NumberT = TypeVar("_NumberT", float, Tensor)


class _Kind(NamedTuple):
    """The parts of the network that a pass differentiates."""

    stop: bool
    trunk_gradient: bool


def fit(config: SegDecConfig, data: TrainingData, run: Run) -> SegDecPredictor:
    """Train SegDecNet on ``data``.

    Logs per epoch: ``loss``, ``loss_seg``, ``loss_cls`` (means over the epoch's images and all workers),
    ``lr``, ``lambda`` (under a schedule) and, where it is computed, ``validation.image_ap``.

    Raises:
        InputError: If the images do not fit the config, or there is nothing to choose the best epoch by.
        Diverged: If loss or weights are no longer finite.
    """
    config = config.resolved(run.device.type)
    check_images(config, data.train)
    if config.checkpoint == "best":
        check_choice(data.validation)

    # Initial weights and flips have random numbers of their own, so switching one on leaves the other as it
    # was.
    network = new_network(config, drawn_seed(run.generator("init")), run.device)
    views_of = drawn_views(len(data.train), config.flips, 0.0, run.generator)
    step = SegDecStep(network, data.train, config, None if config.flips == "none" else views_of)

    # Whatever is validated, kept as the best and returned is the same network: the running average where
    # there is one, otherwise the one that is trained.
    average = WeightAverage(network, config.weight_average) if config.weight_average else None
    kept = network if average is None else average.network
    predictor, best = SegDecPredictor(kept, config), BestEpoch(kept)

    # The loop knows nothing of SegDecNet. What is its own comes as these four functions.
    def backward(shard: BatchShard) -> Mapping[str, Tensor]:
        return step.backward(shard.positions, shard.epoch)

    def average_gradients(shard: BatchShard) -> None:
        # ``shard.size`` counts the images of the step over all workers, since gradients are summed over all
        # of them.
        for weight in network.parameters():
            if config.batch_gradient == "mean" and weight.grad is not None:
                weight.grad /= shard.size

    def loss_weights(epoch: int) -> Mapping[str, float]:
        return {} if config.balance == "none" else {"lambda": LossWeights.at(epoch, config).seg}

    def validate(epoch: int) -> Mapping[str, float]:
        metrics = validation_ap(predictor, data.validation, run.device)
        if config.checkpoint == "best":
            best.offer(epoch, metrics["validation.image_ap"])
        return metrics

    # Plain SGD, without momentum or weight decay, as in the published training.
    train(
        network,
        torch.optim.SGD(network.parameters(), lr=config.lr),
        run,
        schedule=TrainingSchedule(
            config.epochs,
            rate=config.schedule,
            validate_every=config.validate_every,
            warmup_epochs=config.lr_warmup_epochs,
            clip_norm=config.clip_norm,
        ),
        sampler=SegDecSampler.over(data.train.labels, config),
        hooks=TrainingHooks(
            backward,
            losses=_LOSSES,
            before_step=average_gradients,
            after_step=(lambda: None) if average is None else average.follow,
            epoch_metrics=loss_weights,
            validate=validate,
            checkpointed={"best": best} | ({} if average is None else {"average": average}),
        ),
    )
    if config.checkpoint == "best":
        best.load()
    return predictor


class SegDecStep:
    """The gradients of a step: passes over its images, of which some leave out trunk and mask head."""

    def __init__(
        self,
        network: SegDecNet,
        images: ImageSet,
        config: SegDecConfig,
        views_of: Callable[[int], Augmentation] | None = None,
    ) -> None:
        """Prepare targets for the training set ``images``, which an epoch shows as ``views_of`` says.

        ``network`` lies on the device that trains. Without ``views_of`` images are shown as they are.
        """
        device = network.fc.weight.device
        self.network, self.config = network, config
        self._images = TrainingImages(images, config, device)
        self._targets = TrainingTargets.of(images, config, device)
        self._views_of = views_of
        self._per_pass = images_per_pass(config.image_size, device, config.pass_cost)
        self._places = GradientPlaces(network.parameters()) if config.cuda_graph else None
        self._recorded: dict[tuple[_Kind, int], StaticPass] = {}

    def backward(self, positions: Sequence[int], epoch: int) -> dict[str, Tensor]:
        """Add the summed gradients of some images to the network's.

        Returns:
            Sums over the images: total, segmentation and classification loss.
        """
        weights = LossWeights.at(epoch, self.config)
        stop = self.config.gradient_stop or epoch < self.config.forced_stop_epochs
        sums = torch.zeros(len(_LOSSES), device=self._images.device)
        # Every pass adds to the same gradients, so a step is the sum over its images however they are
        # grouped.
        for chosen, trunk_gradient in self._passes(positions, stop):
            kind = _Kind(stop, trunk_gradient)
            images_BCHW, target = self._seen(chosen, epoch)
            if self._places is None:
                total, losses = self._losses(kind, images_BCHW, target, weights)
                total.backward()
            else:
                losses = self._repeated(kind, (images_BCHW, *target), weights, self._places)
            sums += losses
        return dict(zip(_LOSSES, sums, strict=True))

    def _seen(self, positions: Sequence[int], epoch: int) -> tuple[Tensor, TargetBatch]:
        if self._views_of is None:
            return self._images.batch(positions), self._targets.batch(positions)
        views = self._views_of(epoch)
        images_BCHW = views.flip(self._images.batch(positions), positions)
        return images_BCHW, self._targets.batch(positions, views)

    def _losses(
        self, kind: _Kind, images_BCHW: Tensor, target: TargetBatch, weights: LossWeights[_NumberT]
    ) -> tuple[Tensor, Tensor]:
        """The loss to differentiate, and all three as numbers."""
        with forward_context(self.config, images_BCHW.device):
            output = self.network(images_BCHW, stop=kind.stop, trunk_gradient=kind.trunk_gradient)
        losses = segdec_loss(output.cls_logits_B, output.seg_logits_B1hw, target, weights)
        return losses.total, torch.stack((losses.total.detach(), losses.seg, losses.cls))

    def _repeated(
        self, kind: _Kind, batch: Sequence[Tensor], weights: LossWeights[float], places: GradientPlaces
    ) -> Tensor:
        """Repeat a pass, recording it when the first of its kind and size comes; returns the losses."""

        def work(seg: Tensor, cls: Tensor, images_BCHW: Tensor, *target: Tensor) -> tuple[Tensor, Tensor]:
            return self._losses(kind, images_BCHW, TargetBatch(*target), LossWeights(seg, cls))

        # A recording repeats the addresses it saw, so all that changes from step to step, the loss weights
        # too, must lie in tensors.
        inputs = (*numbers([weights.seg, weights.cls], self._images.device), *batch)
        key = (kind, len(batch[0]))
        if key not in self._recorded:
            self._recorded[key] = StaticPass(work, places, inputs)
        return self._recorded[key](*inputs)

    def _passes(self, positions: Sequence[int], stop: bool) -> list[tuple[Sequence[int], bool]]:
        """Groups of images that go through at once, each with whether the trunk needs a gradient."""
        # Under the gradient stop an image without mask sends nothing back into trunk and mask head: with
        # plain SGD, leaving that pass out gives the same update.
        without = [i for i in positions if stop and not self._targets.has_mask_loss(i)]
        with_trunk = [i for i in positions if not stop or self._targets.has_mask_loss(i)]
        size = self._per_pass
        return [
            (group[start : start + size], trunk_gradient)
            for group, trunk_gradient in ((with_trunk, True), (without, False))
            for start in range(0, len(group), size)
        ]
