"""Training of a classifier on image labels, from top to bottom, and what other methods may attach to it.

A step takes a batch that is half defective, half normal. Each worker sums the losses of its own images,
divided by the size of the whole batch; the sum of the workers' gradients is then the gradient of the mean,
however the batch was divided. Batch normalisation would break that (each worker has other statistics), so
it is refused with several workers.

An :class:`Attachment` adds losses of its own to the binary cross-entropy of the labels; without any, this is
plain training, bit by bit.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.cam.config import ClassifierConfig
from trainables.cam.network import Classifier
from trainables.contract import Run, refuse_small_batch, shard
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.tensors import images_to_tensor
from trainables.errors import InputError
from trainables.metrics import Undefined, image_ap
from trainables.nn.augmentation import Augmentation
from trainables.nn.layers.initialisation import initialise
from trainables.nn.layers.inputs import Standardise
from trainables.nn.models import with_layout
from trainables.nn.passes import image_passes
from trainables.nn.sampling import BalancedSampler
from trainables.nn.training import (
    learning_rate,
    mean_over_workers,
    require_finite,
    restore_checkpoint,
    save_checkpoint,
)

__all__ = ["Attachment", "ClassifierStep", "classifier_scores", "new_classifier", "train_classifier"]


@dataclass(frozen=True, eq=False)
class ClassifierStep:
    """What the forward pass of one step left, on one worker: its B images out of ``size``.

    The tensors are in the graph of the step. ``rows`` and ``size`` are for losses that look across the batch.
    """

    images_BCHW: Tensor  # as they are seen: flipped, with another gain and offset; before the input layer
    label_B: Tensor  # 1.0: defective
    features_BKhw: Tensor  # what the head reads
    evidence_B1hw: Tensor  # map of evidence L
    score_B: Tensor  # logits s
    epoch: int  # from 0
    number: int  # of the step, from 0, all epochs together
    rows: Sequence[int]  # places of the B images in the whole batch, whose first half is defective
    size: int  # images of the whole batch
    run: Run

    def generator(self, purpose: str) -> np.random.Generator:
        """Random numbers of this step, equal on every worker: draw for the whole batch, take ``rows``."""
        return self.run.generator(purpose, self.number)

    def whole(self, part_B: Tensor) -> Tensor:
        """The same numbers of the whole batch, ``size`` × …; those of other workers carry no gradient.

        Every worker calls it as often as the others, also one without images.

        Args:
            part_B: Floating-point numbers of this worker's images, B × ….
        """
        if self.run.world_size == 1:
            return part_B
        rows = torch.tensor(list(self.rows), dtype=torch.long, device=part_B.device)
        sent = part_B.new_zeros(self.size, *part_B.shape[1:]).index_copy(0, rows, part_B.detach())
        carrier = nn.Parameter(torch.zeros_like(sent))
        carrier.grad = sent
        self.run.reduce([carrier])
        assert carrier.grad is not None
        return carrier.grad.detach().index_copy(0, rows, part_B)

    def once(self, term: Tensor) -> Tensor:
        """A term that every worker computed for the whole batch: its value is divided, its gradient is not.

        Over the workers the values then add up to the term; the gradients do already, as each worker's are
        those of its own rows of :meth:`whole`.
        """
        return term - term.detach() * (1 - 1 / self.run.world_size)


class Attachment(nn.Module):
    """Something that joins a classifier's training: its parameters are trained, its state is kept.

    Parameters that require a gradient are trained with the network's; all its parameters and buffers are in
    the checkpoint. Layers get their first weights from the repeat's seed. Its train/eval mode is its own.
    """

    name: str  # unique among those of a training; an identifier

    def start(self, net: Classifier) -> None:
        """Called once, when all first weights are there: copies of the network are made here."""

    @abstractmethod
    def losses(self, net: Classifier, step: ClassifierStep) -> Mapping[str, Tensor]:
        """Weighted terms to add to the loss, by name; none before its warm-up.

        Each is this worker's share: over the workers, shares add up to the term for the whole batch (a sum
        over own images divided by ``step.size``, or :meth:`ClassifierStep.once`). The names are the same on
        all workers. A value without gradient is only logged.
        """

    def after_step(self, net: Classifier) -> None:
        """Called after each optimiser step: running averages of weights are brought up to date here."""


def train_classifier(
    config: ClassifierConfig, data: TrainingData, run: Run, attachments: Sequence[Attachment] = ()
) -> Classifier:
    """Train a classifier on the labels of ``data``; the weights are those of the last epoch.

    Logs per epoch: ``loss``, ``loss_image``, each term of the attachments (means over the epoch's images and
    all workers), ``lr`` and, where it is computed, ``validation.image_ap``.

    Args:
        config: Resolved; only what ``ClassifierConfig`` itself declares is read.
        data: Training and validation. No mask is read.
        run: Random numbers, checkpoints and gradients over workers.
        attachments: What adds to the loss, in this order.

    Raises:
        InputError: If images or labels do not suit the config, or a weights file is not the one meant.
        Diverged: If loss or weights are no longer finite.
    """
    _check(config, data.train, run)
    net = new_classifier(config, data.train, int(run.generator("init").integers(2**63)), run.device)
    trained = _join(net, attachments, run)
    optimiser = _optimiser(trained, config)
    sampler = BalancedSampler(data.train.labels, config.batch_size)
    epochs = max(config.epochs, -(-config.min_steps // sampler.steps))
    start = restore_checkpoint(run, trained, optimiser, sampler)

    for epoch in range(start, epochs):
        net.train()
        sums: dict[str, Tensor] = {}
        views = Augmentation.draw(
            len(data.train), config.flips, config.photometric, run.generator("augment", epoch)
        )
        batches = sampler.epoch(run.generator("order", epoch), lambda n: run.generator("negatives", n))
        for number, batch in enumerate(batches, start=epoch * sampler.steps):
            rate = learning_rate(config.lr, config.schedule, number, epochs * sampler.steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad(set_to_none=False)
            step = _forward(net, data.train, views, batch, _Now(epoch, number, run))
            for name, value in _backward(net, step, attachments).items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value
            run.reduce(trained.parameters())
            optimiser.step()
            for attachment in attachments:
                attachment.after_step(net)
            run.step(number + 1, epochs * sampler.steps, epochs)
        metrics = _means(sums, run) | {"lr": optimiser.param_groups[0]["lr"]}
        require_finite(epoch, metrics, trained)
        if data.validation is not None and (epoch % config.validate_every == 0 or epoch == epochs - 1):
            metrics |= _validate(net, data.validation)
        run.log(epoch, metrics, epochs)
        save_checkpoint(run, epoch + 1, trained, optimiser, sampler)
    return net.eval()


def new_classifier(config: ClassifierConfig, images: ImageSet, seed: int, device: torch.device) -> Classifier:
    """A classifier with its first weights and the training split's statistics, in the config's layout.

    Raises:
        InputError: If the config names a weights file that is missing or not the one meant.
    """
    net = Classifier(config)
    initialise(net, seed)
    config.load_weights(net.backbone)
    if isinstance(net.input, Standardise):
        net.input.measure(images)
    return with_layout(net, config).to(device)


@torch.inference_mode()
def classifier_scores(net: Classifier, images: ImageSet) -> NDArray[np.float64]:
    """The probability of "defective" of every image (at least one), in order; the mode is set to eval."""
    net.eval()
    batches = image_passes(images, range(len(images)), net.device)
    return torch.cat([net(batch).score_B.double().sigmoid().cpu() for batch in batches]).numpy()


class _Now(NamedTuple):
    """Where a training is."""

    epoch: int
    number: int  # of the step, all epochs together
    run: Run


def _forward(
    net: Classifier, images: ImageSet, views: Augmentation, batch: Sequence[int], now: _Now
) -> ClassifierStep:
    """Show the network this worker's part of a batch, which may be empty."""
    run = now.run
    positions = run.shard(batch)
    if positions:
        shown_BCHW = images_to_tensor([images[i].image for i in positions], run.device)
        shown_BCHW = views.flip(views.expose(shown_BCHW, positions), positions)
    else:
        shown_BCHW = torch.zeros(0, net.config.channels, *net.config.image_size, device=run.device)
    if net.config.memory_format == "channels_last":
        shown_BCHW = shown_BCHW.contiguous(memory_format=torch.channels_last)
    output = net(shown_BCHW)
    return ClassifierStep(
        images_BCHW=shown_BCHW,
        label_B=torch.tensor([float(images.labels[i]) for i in positions], device=run.device),
        features_BKhw=output.features_BKhw,
        evidence_B1hw=output.evidence_B1hw,
        score_B=output.score_B,
        epoch=now.epoch,
        number=now.number,
        rows=shard(range(len(batch)), run.rank, run.world_size),
        size=len(batch),
        run=run,
    )


def _backward(net: Classifier, step: ClassifierStep, attachments: Sequence[Attachment]) -> dict[str, Tensor]:
    """Add the gradients of a step's loss; returns its terms times the batch's size, and the own images."""
    image = F.binary_cross_entropy_with_logits(step.score_B, step.label_B, reduction="sum") / step.size
    total, terms = image, {"loss_image": image}
    for attachment in attachments:
        for name, term in attachment.losses(net, step).items():
            assert name not in terms, f"two terms are called {name}"
            terms[name] = term
            if term.requires_grad:
                total = total + term
    total.backward()
    sums = {name: term.detach() * step.size for name, term in {"loss": total, **terms}.items()}
    return sums | {"images": torch.full_like(image.detach(), float(len(step.rows)))}


def _join(net: Classifier, attachments: Sequence[Attachment], run: Run) -> nn.ModuleDict:
    """Network and attachments as one module, all with their first weights."""
    for attachment in attachments:
        initialise(attachment, int(run.generator("init", *attachment.name.encode()).integers(2**63)))
        attachment.to(run.device)
        attachment.start(net)
    return nn.ModuleDict({"net": net, **{attachment.name: attachment for attachment in attachments}})


def _optimiser(trained: nn.Module, config: ClassifierConfig) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in trained.parameters() if parameter.requires_grad]
    # Before a warm-up an attachment's weights have no gradient. AdamW would skip such a weight, and after a
    # reduction over workers would not: zeros from the start make both the same.
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    return torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)


def _check(config: ClassifierConfig, images: ImageSet, run: Run) -> None:
    # Refuses a global batch smaller than the number of workers, before anything is trained.
    refuse_small_batch(config.batch_size, run.world_size)
    if run.world_size > 1 and config.norm == "bn":
        raise InputError(
            f"norm: bn takes statistics over a worker's own images, so {run.world_size} workers would train "
            "another model than one. Set norm: gn, or resources.workers: 1."
        )
    positives, count = int(images.labels.sum()), len(images)
    if positives in {0, count}:
        raise InputError(
            f"a classifier trains on defective and normal images, found {positives} defective and "
            f"{count - positives} normal ones in the training set. Use another split or more images."
        )
    expected, found = (*config.image_size, config.channels), images[0].image.shape
    if found != expected:
        raise InputError(
            f"images have the config's image_size and channels, {expected}, found {found} in "
            f"{images.ids[0]}. Prepare the images with this config's size."
        )


def _means(sums: Mapping[str, Tensor], run: Run) -> dict[str, float]:
    """Terms as means over the epoch's images and all workers."""
    names = [name for name in sums if name != "images"]
    return dict(
        zip(
            names,
            mean_over_workers(torch.stack([sums[name] for name in (*names, "images")]), run),
            strict=True,
        )
    )


def _validate(net: Classifier, validation: ImageSet) -> dict[str, float]:
    """``validation.image_ap``, or nothing where one class is missing. Every worker computes it."""
    score = image_ap(validation.labels, classifier_scores(net, validation))
    return {} if isinstance(score, Undefined) else {"validation.image_ap": score}
