"""Training of a classifier on image labels, from top to bottom, and what other methods may attach to it.

A step takes a batch that is half defective, half normal, and the gradient of its mean loss. Several workers
share it, and batch normalisation takes the statistics of the whole.

An :class:`Attachment` adds losses of its own to the binary cross-entropy of the labels; without any, this is
plain training, bit by bit.
"""

# B images of H × W pixels; K channels of h × w cells, those of the last stage

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.cam.config import ClassifierConfig
from trainables.cam.network import Classifier
from trainables.contract import Run
from trainables.data.samples import ImageSet, TrainingData
from trainables.errors import InputError
from trainables.evaluation.metrics import Undefined, image_ap
from trainables.nn.batches.augmentation import drawn_views
from trainables.nn.batches.on_device import TrainingImages
from trainables.nn.batches.passes import image_passes
from trainables.nn.batches.sampling import BalancedSampler
from trainables.nn.layers.initialisation import drawn_seed, initialise
from trainables.nn.layers.inputs import Standardise
from trainables.nn.layers.trunk import Trunk
from trainables.nn.models import with_layout
from trainables.nn.training.loop import BatchShard, TrainingHooks, train
from trainables.nn.training.parts import check_images, sum_over_workers
from trainables.nn.trunk.kept_maps import KeptMaps
from trainables.nn.weights import load_weights

__all__ = ["Attachment", "ClassifierStep", "classifier_scores", "new_classifier", "train_classifier"]


@dataclass(frozen=True, eq=False)
class ClassifierStep:
    """One worker's forward pass of a step: its B images of the batch, whose first half is defective.

    The tensors are in the graph of the step. ``shard`` is for losses that look across the batch.
    """

    images_BCHW: Tensor  # as they are seen: flipped, with another gain and offset; before the input layer
    label_B: Tensor  # 1.0: defective
    features_BKhw: Tensor  # what the head reads
    evidence_B1hw: Tensor  # map of evidence L
    score_B: Tensor  # logits s
    shard: BatchShard
    run: Run

    def generator(self, purpose: str) -> np.random.Generator:
        """Random numbers of this step, equal on every worker: draw for the whole batch, take ``places``."""
        return self.run.generator(purpose, self.shard.step)

    def whole(self, part_B: Tensor) -> Tensor:
        """The same numbers of the whole batch; those of other workers carry no gradient.

        Every worker calls it as often as the others, also one without images.

        Args:
            part_B: Floating-point numbers of this worker's images, B × ….
        """
        if self.run.world_size == 1:
            return part_B
        # Every worker puts its rows into zeros and the sum joins them; its own rows are then put back,
        # because the sum carries no gradient.
        rows = torch.tensor(list(self.shard.places), dtype=torch.long, device=part_B.device)
        sent = part_B.new_zeros(self.shard.size, *part_B.shape[1:]).index_copy(0, rows, part_B.detach())
        return sum_over_workers(sent, self.run).index_copy(0, rows, part_B)

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

    def train(self, mode: bool = True) -> Self:
        """Leave the mode alone: it is its own, not the network's."""
        del mode
        return self

    def start(self, net: Classifier) -> None:
        """Called once, when all first weights are there: copies of the network are made here."""

    @abstractmethod
    def losses(self, net: Classifier, step: ClassifierStep) -> Mapping[str, Tensor]:
        """Weighted terms to add to the loss, by name; none before its warm-up.

        Each is this worker's share: over the workers, shares add up to the term for the whole batch (a sum
        over own images divided by ``shard.size``, or :meth:`ClassifierStep.once`). The names are the same on
        all workers. A value without gradient is only logged.
        """

    def after_step(self, net: Classifier) -> None:
        """Called after each optimiser step: running averages of weights are brought up to date here."""


def train_classifier(
    config: ClassifierConfig,
    data: TrainingData,
    run: Run,
    attachments: Sequence[Attachment] = (),
    kept: KeptMaps | None = None,
) -> Classifier:
    """Train a classifier on the labels of ``data``; the weights are those of the last epoch.

    Logs per epoch: ``loss``, ``loss_image``, each term of the attachments (means over the epoch's images and
    all workers), ``lr`` and, where it is computed, ``validation.image_ap``.

    Args:
        config: Resolved; only what ``ClassifierConfig`` itself declares is read.
        data: Training and validation. No mask is read.
        run: Random numbers, checkpoints and gradients over workers.
        attachments: What adds to the loss, in this order.
        kept: The trunk's maps of the training images; None: computed in each step.

    Raises:
        InputError: If images or labels do not suit the config, or a weights file is not the one meant.
        Diverged: If loss or weights are no longer finite.
    """
    # What cannot be trained is refused before anything is built.
    check_images(config, data.train)
    _check_labels(data.train)
    net = new_classifier(config, data.train, drawn_seed(run.generator("init")), run.device)

    # Attachments are trained and checkpointed as one module with the network.
    trained = _join(net, attachments, run)
    images = TrainingImages(data.train, config, run.device)
    views_of = drawn_views(len(data.train), config.flips, config.photometric, run.generator)

    def backward(shard: BatchShard) -> Mapping[str, Tensor]:
        views = views_of(shard.epoch)
        maps = kept.read(shard.positions, views) if kept is not None and shard.positions else None
        shown_BCHW = views.show(images, shard.positions)
        output = net(shown_BCHW, maps)
        step = ClassifierStep(
            images_BCHW=shown_BCHW,
            label_B=images.labels_of(shard.positions),
            features_BKhw=output.features_BKhw,
            evidence_B1hw=output.evidence_B1hw,
            score_B=output.score_B,
            shard=shard,
            run=run,
        )
        return _backward(net, step, attachments)

    def after_step() -> None:
        for attachment in attachments:
            attachment.after_step(net)

    def validate(_epoch: int) -> Mapping[str, float]:
        return _validation_ap(net, data.validation)

    # Attachments look across the whole batch, so each worker joins in every step, even one whose share of
    # it is empty.
    train(
        trained,
        _optimiser(config, net, trained),
        run,
        schedule=config.training,
        sampler=BalancedSampler(data.train.labels, config.batch_size),
        hooks=TrainingHooks(
            backward,
            losses=("loss", "loss_image"),
            every_worker=True,
            after_step=after_step,
            validate=validate,
        ),
    )
    return net.eval()


def new_classifier(config: ClassifierConfig, images: ImageSet, seed: int, device: torch.device) -> Classifier:
    """A classifier with its first weights and the training split's statistics, in the config's layout.

    Raises:
        InputError: If the config names a weights file that is missing or not the one meant.
    """
    net = Classifier(config)
    # Random weights first in any case: the head, which no file holds, keeps them.
    initialise(net, seed)
    if isinstance(net.backbone, Trunk):
        net.backbone.start_from(config)
    else:
        load_weights(net.backbone, config)
    if isinstance(net.input, Standardise):
        net.input.measure(images)
    return with_layout(net, config).to(device)


def _optimiser(config: ClassifierConfig, net: Classifier, trained: nn.Module) -> torch.optim.AdamW:
    """AdamW over all weights that learn; those of a published trunk in a group of their own, slower."""
    weights = [weight for weight in trained.parameters() if weight.requires_grad]
    groups: list[dict[str, Any]] = [{"params": weights}]
    if isinstance(net.backbone, Trunk) and config.trunk_lr_ratio:
        # Both rates follow the schedule in the same ratio, since the loop keeps each group's first rate.
        slow = {id(weight) for weight in net.backbone.parameters()}
        groups = [
            {"params": [weight for weight in weights if id(weight) not in slow]},
            {"params": [*net.backbone.parameters()], "lr": config.lr * config.trunk_lr_ratio},
        ]
    return torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)


@torch.inference_mode()
def classifier_scores(net: Classifier, images: ImageSet) -> NDArray[np.float64]:
    """The probability of "defective" of every image (at least one), in order; the mode is set to eval."""
    net.eval()
    batches = image_passes(images, range(len(images)), net.device)
    return torch.cat([net(batch).score_B.double().sigmoid().cpu() for batch in batches]).numpy()


def _backward(net: Classifier, step: ClassifierStep, attachments: Sequence[Attachment]) -> dict[str, Tensor]:
    """Add the gradients of a step's loss; returns its terms times the batch's size."""
    image = F.binary_cross_entropy_with_logits(step.score_B, step.label_B, reduction="sum") / step.shard.size
    # Terms are added in the order of the attachments. A value without gradient is there for the log alone.
    total, terms = image, {"loss_image": image}
    for attachment in attachments:
        for name, term in attachment.losses(net, step).items():
            assert name not in terms, f"two terms are called {name}"
            terms[name] = term
            if term.requires_grad:
                total = total + term
    total.backward()
    return {name: term.detach() * step.shard.size for name, term in {"loss": total, **terms}.items()}


def _join(net: Classifier, attachments: Sequence[Attachment], run: Run) -> nn.ModuleDict:
    """Network and attachments as one module, all with their first weights."""
    for attachment in attachments:
        # Random numbers go by the attachment's name, so adding one leaves the weights of all others as they
        # were.
        initialise(attachment, drawn_seed(run.generator("init", *attachment.name.encode())))
        attachment.to(run.device)
        attachment.start(net)
    return nn.ModuleDict({"net": net, **{attachment.name: attachment for attachment in attachments}})


def _check_labels(images: ImageSet) -> None:
    positives, count = int(images.labels.sum()), len(images)
    if positives in {0, count}:
        raise InputError(
            f"a classifier trains on defective and normal images, found {positives} defective and "
            f"{count - positives} normal ones in the training set. Use another split or more images."
        )


def _validation_ap(net: Classifier, validation: ImageSet | None) -> dict[str, float]:
    """``validation.image_ap``; nothing where one class is missing. Every worker computes it."""
    if validation is None:
        return {}
    score = image_ap(validation.labels, classifier_scores(net, validation))
    return {} if isinstance(score, Undefined) else {"validation.image_ap": score}
