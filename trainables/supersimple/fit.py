"""Training of the heads, from top to bottom; the trunk below them is frozen.

A step shows each of its images twice and adds noise to some of the copies; without noise a second copy would
teach the same, and there is one. Means are taken over the cells and images of all workers.
"""

# B images, C features of h × w cells

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.contract import Run
from trainables.data.samples import TrainingData
from trainables.errors import InputError
from trainables.evaluation.pseudo_labels import OPEN
from trainables.nn.batches.augmentation import Augmentation, drawn_views
from trainables.nn.batches.on_device import numbers
from trainables.nn.batches.sampling import BalancedSampler
from trainables.nn.labels.pixels import PixelMaps, mask_labels
from trainables.nn.layers.initialisation import drawn_seed
from trainables.nn.models import forward_context, with_layout
from trainables.nn.training.loop import BatchShard, TrainingHooks, train
from trainables.nn.training.parts import check_images, sum_over_workers, validation_ap
from trainables.nn.trunk.kept_maps import KeptMaps
from trainables.supersimple.config import SuperSimpleConfig
from trainables.supersimple.features import ComputedMaps, combined, kept_maps, read_trunk
from trainables.supersimple.loss import CellTruth, Totals, head_losses
from trainables.supersimple.network import Heads, SuperSimpleNet, new_heads
from trainables.supersimple.noise import draw_noise
from trainables.supersimple.predictor import SuperSimplePredictor
from trainables.supersimple.stages import stages
from trainables.unsupervised.normals import normal_images

__all__ = ["feature_spread", "fit", "known_cells", "with_noise"]

_LOSSES = ("loss", "loss_map", "loss_decision")
_COPIES = 2  # of each image in a step with noise
_MILESTONES = (0.8, 0.9)  # shares of the steps after which the rates fall
_MEASURED = 32  # normal images that the features' spread is taken of
_NEARLY = 1 - 1e-5  # cells of equal shares differ by rounding only


def fit(config: SuperSimpleConfig, data: TrainingData, run: Run) -> SuperSimplePredictor:
    """Train the heads on ``data``; the weights are those of the last epoch.

    With supervision none only normal images are looked at, and with none and weak no mask is read. Logs per
    epoch: ``loss``, ``loss_map``, ``loss_decision`` (means over the epoch's images and all workers), ``lr``
    (the adaptor's, without one the heads') and, where it is computed, ``validation.image_ap``.

    Raises:
        InputError: If images or labels do not suit the config, or a weights file is not the one meant.
        Diverged: If loss or weights are no longer finite.
    """
    config = config.resolved(run.device.type)
    check_images(config, data.train)
    data = _visible(data)
    step = _Step.prepared(config, data, run)
    heads, kind = step.network.heads, data.supervision.kind
    optimiser = _optimiser(heads, config)
    rates = [float(group["lr"]) for group in optimiser.param_groups]

    def before_step(shard: BatchShard) -> None:
        if config.head_clip:
            nn.utils.clip_grad_norm_(heads.parameters(), config.head_clip)
        # Rates are set from the first ones in each step, not multiplied once more, so a resumed training
        # has the same.
        falls = sum(shard.progress >= milestone for milestone in _MILESTONES)
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * config.head_decay**falls

    # Only the heads are handed to the loop: the trunk is frozen, and its weights need no optimiser and no
    # checkpoint.
    predictor = SuperSimplePredictor(step.network, config)
    train(
        heads,
        optimiser,
        run,
        schedule=config.head_training,
        # One class only: the sampler then shuffles it.
        sampler=BalancedSampler(data.train.labels | (kind == "none"), config.head_batch),
        hooks=TrainingHooks(
            step.backward,
            _LOSSES,
            every_worker=True,
            before_step=before_step,
            validate=lambda _epoch: validation_ap(predictor, data.validation, run.device),
        ),
    )
    step.network.eval()
    return predictor


@dataclass(frozen=True, eq=False)
class _Step:
    """All that a step needs."""

    network: SuperSimpleNet
    source: KeptMaps | ComputedMaps
    truth: PixelMaps  # labels of pixels, from masks
    labels: NDArray[np.bool_]
    views_of: Callable[[int], Augmentation]
    stop: bool
    spread_C: Tensor | None  # that the noise is relative to
    run: Run

    @classmethod
    def prepared(cls, config: SuperSimpleConfig, data: TrainingData, run: Run) -> _Step:
        """The trunk and its maps from their stages, and heads with their first weights."""
        folders = {stage.name: run.stage(stage, data) for stage in stages(config)}
        trunk = read_trunk(config, folders, run.device)
        network = SuperSimpleNet(config, trunk)
        new_heads(network.heads, drawn_seed(run.generator("init")))
        network = with_layout(network, config).to(run.device)

        # Maps of training images come from the stage where they are kept; otherwise each step computes them
        # anew, which a large set on a GPU prefers.
        kept = kept_maps(config, folders, data.train, run.device)
        source = kept or ComputedMaps(trunk, config, data.train, run.device)
        views_of = drawn_views(len(data.train), config.head_flips, 0.0, run.generator)

        # Noise may be measured in the spread of normal features; a few images suffice for a standard
        # deviation per channel.
        normal = np.flatnonzero(~data.train.labels)[:_MEASURED].tolist()
        relative = config.noise and config.noise_unit == "spread"
        return cls(
            network=network,
            source=source,
            truth=PixelMaps(
                mask_labels(data.train, config.image_size), data.train.ids, config.image_size, run.device
            ),
            labels=data.train.labels,
            views_of=views_of,
            stop=config.stops(data.supervision.kind),
            spread_C=feature_spread(network, source.read(normal, views_of(0))) if relative else None,
            run=run,
        )

    def backward(self, shard: BatchShard) -> Mapping[str, Tensor]:
        """Add the gradients of a worker's shard of a batch; returns its terms times the batch's size."""
        config, heads, device = self.network.config, self.network.heads, self.run.device
        if not shard.positions and config.head_norm != "bn":
            # The workers that have images wait for this one's totals.
            sum_over_workers(torch.zeros(len(Totals._fields), device=device), self.run)
            return {name: torch.zeros((), device=device) for name in _LOSSES}

        # Features and truth of this shard, flipped alike. Batch normalisation wants a worker's part in its
        # statistics also where it has no image: then one is read for its shape, and none of it is taken.
        views, count = self.views_of(shard.epoch), len(shard.positions)
        features_BChw = combined(self.source.read(shard.positions or [0], views), config)[:count]
        label_B = numbers(self.labels[list(shard.positions)].tolist(), device)
        truth = known_cells(self.truth.batch(shard.positions, views), label_B, config)

        # Each copy of each image has random numbers by its place in the whole batch: how images fall to
        # workers changes no noise.
        generators = [
            self.run.generator("noise", shard.step, copy * shard.size + place)
            for copy in range(_COPIES)
            for place in shard.places
        ]
        with forward_context(config, device):
            adapted_BChw = heads.adapted(features_BChw)
            noisy_BChw, truth = with_noise(adapted_BChw, truth, config, generators, self.spread_C)
            output = heads(noisy_BChw, stop=self.stop)

        # Means are over the cells and images of all workers, so the counts are added up before the loss and
        # the workers' gradients sum to that of one.
        totals = Totals(*sum_over_workers(torch.stack(Totals.of(truth)).float(), self.run))
        map_loss, decision = head_losses(output, truth, totals, config)
        total = map_loss + decision
        total.backward()

        # The loop divides what it logs by the batch's size; these terms are means already.
        terms = (total, map_loss, decision)
        return {name: term.detach() * shard.size for name, term in zip(_LOSSES, terms, strict=True)}


def known_cells(truth_BHW: Tensor, label_B: Tensor, config: SuperSimpleConfig) -> CellTruth:
    """Defective cells of some images, as far as masks are shown; a mask that fills none keeps its fullest.

    Args:
        truth_BHW: Labels of their pixels: 1 defect, 0 background; wholly open where no mask is shown.
        label_B: Theirs; 1.0: defective.
        config: With the size of a cell.
    """
    # A mask that reaches the share nowhere would leave a defective image without a defect cell; then its
    # fullest cells stand for it.
    share_B1hw = F.avg_pool2d((truth_BHW == 1).float()[:, None], config.cell, ceil_mode=True)
    fullest_B111 = share_B1hw.amax(dim=(1, 2, 3), keepdim=True)
    defect_B1hw = share_B1hw > (_NEARLY * fullest_B111).clamp(max=config.mask_share)
    return CellTruth(defect_B1hw, truth_BHW[:, 0, 0] != OPEN, label_B)


def with_noise(
    adapted_BChw: Tensor,
    truth: CellTruth,
    config: SuperSimpleConfig,
    generators: Sequence[np.random.Generator],
    spread_C: Tensor | None = None,
) -> tuple[Tensor, CellTruth]:
    """Copies of B images, some with noise where no true defect is, and the truth of the copies.

    A defective image without its mask gets none: nobody knows where its defect is. With ``spread_C`` the
    noise of a feature is in units of its own spread. With ``noise: false`` the images come back as they are,
    and so do none.
    """
    if not config.noise or not len(adapted_BChw):
        return adapted_BChw, truth
    # Noise goes on any normal cell whose truth is known, of defective images too; a true defect is never
    # disturbed.
    adapted, defect, known, label = (torch.cat([part] * _COPIES) for part in (adapted_BChw, *truth))
    noise = draw_noise(~defect & known[:, None, None, None], config, generators)
    seen = noise.on_B1hw.flatten(1).any(dim=1).float()
    values_BChw = noise.values_BChw if spread_C is None else noise.values_BChw * spread_C[:, None, None]
    return adapted + values_BChw, CellTruth(defect | noise.on_B1hw, known, torch.maximum(label, seen))


@torch.no_grad()
def feature_spread(network: SuperSimpleNet, maps: Sequence[Tensor]) -> Tensor:
    """Standard deviation of each adapted feature over the cells of some images: C."""
    with forward_context(network.config, maps[0].device):
        adapted_BChw = network.heads.adapted(combined(maps, network.config))
    return adapted_BChw.float().std(dim=(0, 2, 3))


def _optimiser(heads: Heads, config: SuperSimpleConfig) -> torch.optim.AdamW:
    """AdamW with a rate for the adaptor, which comes first among the weights, and one for the heads."""
    adaptor = [] if heads.adaptor is None else list(heads.adaptor.parameters())
    # The two groups differ in rate and decay. Without an adaptor its group would be empty, which the
    # optimiser refuses.
    others = list(heads.parameters())[len(adaptor) :]
    groups = [
        {"params": adaptor, "lr": config.adaptor_lr, "weight_decay": config.adaptor_weight_decay},
        {"params": others, "lr": config.head_lr, "weight_decay": config.head_weight_decay},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]])


def _visible(data: TrainingData) -> TrainingData:
    """The images that training looks at, with the masks that the supervision shows.

    Raises:
        InputError: If there are too few kinds of them.
    """
    positives = int(data.train.labels.sum())
    normal = len(data.train) - positives
    # Defective images and masks are taken away here, at one place, so no later step can read what the
    # supervision does not show.
    if data.supervision.kind == "none" and normal:
        return replace(data, train=normal_images(data.train))
    if not positives or not normal:
        needed = "normal images" if data.supervision.kind == "none" else "defective and normal images"
        raise InputError(
            f"supervision {data.supervision} learns from {needed}, found {positives} defective and {normal} "
            "normal ones in the training set. Use another split, supervision or more images."
        )
    return data if data.supervision.reads_masks else replace(data, train=replace(data.train, masks={}))
