"""Teachers: networks whose descriptors of patches students then imitate.

As published a teacher is distilled from a ResNet-18 that knows ImageNet (``distill``: the user brings the
weights). Without weights it learns from the normal patches themselves to keep a patch and its disturbed copy
close and other patches away, with dimensions that do not repeat each other (``metric``: the paper's
self-supervised part alone). A teacher that learned nothing (``random``) is the floor of the idea.

How a patch is disturbed, and that the loss of correlation is squared, are our reading.

Source: Bergmann et al. 2020, arXiv:1911.02357, section 3.1.
"""

# N patches of P × P pixels; d dimensions of a descriptor

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from trainables.contract import Run
from trainables.data.samples import ImageSet
from trainables.nn.batches.on_device import sent
from trainables.nn.choices import TRUNK_WIDTHS, ResNetShape
from trainables.nn.layers.initialisation import drawn_seed, initialise
from trainables.nn.layers.inputs import Standardise
from trainables.nn.layers.resnet import ResNet18s
from trainables.nn.layers.trunk import Trunk
from trainables.nn.models import with_layout
from trainables.nn.weights import load_weights
from trainables.unsupervised.config import Scale, UnsupervisedConfig
from trainables.unsupervised.patches import PatchPool
from trainables.unsupervised.patchnet import PatchNet
from trainables.unsupervised.training import Learner, train

__all__ = ["correlation_loss", "distillation_loss", "metric_loss", "train_teacher"]

_MARGIN = 1.0  # published: δ = 1
# A copy lies at most a sixteenth of the patch away; largest offset and standard deviation of noise are in
# units of the grey range. With twice as much, or with batches of 32, a teacher of scale 65 fell to one
# descriptor for all on magnetic tiles (loss 1, some hundred steps).
_SHIFT_SHARE = 16
_BRIGHTNESS, _NOISE = 0.05, 0.02


def metric_loss(anchor_Nd: Tensor, positive_Nd: Tensor, negative_Nd: Tensor) -> Tensor:
    """``max(0, δ + |a − p|² − min(|a − n|², |p − n|²))`` of each triplet: N numbers.

    Source: Bergmann et al. 2020, section 3.1.
    """
    near_N = (anchor_Nd - positive_Nd).square().sum(dim=1)
    far_2N = torch.stack([(x - negative_Nd).square().sum(dim=1) for x in (anchor_Nd, positive_Nd)])
    return (_MARGIN + near_N - far_2N.amin(dim=0)).relu()


def correlation_loss(descriptors_Nd: Tensor) -> Tensor:
    """Squared correlations between dimensions over a batch: their sum for one dimension, on average.

    Source: Bergmann et al. 2020, section 3.1, which sums them unsquared (anticorrelated dimensions repeat
    each other as well).
    """
    # A dimension that never varies has no direction; the smallest divisor keeps it at 0 instead of NaN.
    centred = descriptors_Nd - descriptors_Nd.mean(dim=0)
    unit = centred / centred.norm(dim=0).clamp_min(1e-6)
    return (unit.T @ unit).fill_diagonal_(0).square().sum() / descriptors_Nd.shape[1]


def distillation_loss(decoded_Nd: Tensor, taught_Nd: Tensor) -> Tensor:
    """``|D(T p) − φ(p)|²``, mean over the patches.

    Source: Bergmann et al. 2020, section 3.1.
    """
    return (decoded_Nd - taught_Nd).square().sum(dim=1).mean()


def train_teacher(
    config: UnsupervisedConfig, scale: Scale, images: ImageSet, entry: Standardise, run: Run
) -> PatchNet:
    """Train the teacher of one scale on patches of ``images``, which are normal.

    The correlation is one of the whole batch, so the first worker makes the step and the others take it over.
    Logs the means of ``metric``, ``correlation`` and, with ``distill``, ``distillation``.

    Args:
        config: How.
        scale: Patch size.
        images: Normal images.
        entry: What brings images in [0, 1] to the networks.
        run: Random numbers, workers, checkpoints.

    Raises:
        InputError: If the weights file is missing or not the one meant.
        Diverged: If a loss or weight is no longer finite.
    """
    teacher = PatchNet(scale, config.channels, config.descriptor_width, config.descriptor)
    initialise(teacher, drawn_seed(run.generator("init")))
    teacher = with_layout(teacher, config).to(run.device)
    if config.teacher == "random":
        return teacher.eval()

    # With ``distill`` a linear decoder stands between descriptor and the published features; it is thrown
    # away afterwards.
    model = _published(config, run.device) if config.teacher == "distill" else None
    features = TRUNK_WIDTHS[config.trunk][32]
    decoder = nn.Linear(config.descriptor, features) if model is not None else nn.Identity()
    initialise(decoder, drawn_seed(run.generator("init decoder")))
    network = nn.ModuleList([teacher, decoder.to(run.device)])
    optimiser = torch.optim.Adam(
        network.parameters(), lr=config.teacher_lr, weight_decay=config.teacher_weight_decay
    )
    learner = Learner("teacher", network.train(), optimiser)

    # Patches are cut wider than a teacher sees, which leaves room to move the copy.
    shift = min(teacher.field // _SHIFT_SHARE, (min(config.image_size) - teacher.field) // 2)
    side, rng = teacher.field + 2 * shift, run.generator("patches")
    pool = PatchPool(images, side, config.patches_per_image, rng, run.device)

    def step(number: int) -> Tensor:
        # Correlation needs the whole batch at one place, so the other workers only take over the gradients.
        if run.rank:
            learner.step(None, run)
            return torch.zeros(4, device=run.device)
        rng = run.generator("batch", number)
        wide = pool.cut(pool.draw(config.teacher_batch, rng).tolist())
        seen = _pairs(wide, teacher.field, shift, rng)
        patches, copies = (entry(x) for x in seen)
        anchor, positive = teacher(patches), teacher(copies)
        # The next patch of the batch is the negative: any other patch will do.
        metric = metric_loss(anchor, positive, anchor.roll(1, dims=0)).mean()
        correlation = correlation_loss(anchor)
        distillation = torch.zeros_like(metric)
        if model is not None:
            with torch.no_grad():
                cells = model(seen[0])[32] if isinstance(model, Trunk) else model(patches)
            distillation = distillation_loss(decoder(anchor), cells.mean(dim=(2, 3)))
        learner.step(metric + correlation + distillation, run)
        return torch.stack((metric, correlation, distillation, torch.ones_like(metric))).detach()

    names = ("metric", "correlation", "distillation")
    train([learner], run, steps=config.teacher_steps, epoch_steps=config.epoch_steps, losses=names, step=step)
    return teacher.eval()


def _pairs(wide_NCPP: Tensor, side: int, shift: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Patches from the middle of wider ones, and copies that are moved, brightened and noisy."""
    count = len(wide_NCPP)
    # Offset and noise change a patch as light and sensor would; what describes the surface should not.
    tops, lefts = rng.integers(0, 2 * shift + 1, (2, count))
    offset = rng.uniform(-_BRIGHTNESS, _BRIGHTNESS, (count, 1, 1, 1)).astype(np.float32)
    noise = _NOISE * rng.standard_normal((count, wide_NCPP.shape[1], side, side), dtype=np.float32)
    middle = wide_NCPP[:, :, shift : shift + side, shift : shift + side]
    moved = [
        wide[:, top : top + side, left : left + side]
        for wide, top, left in zip(wide_NCPP, tops.tolist(), lefts.tolist(), strict=True)
    ]
    return middle, torch.stack(moved) + sent(torch.from_numpy(offset + noise), wide_NCPP.device)


def _published(config: UnsupervisedConfig, device: torch.device) -> ResNet18s | Trunk:
    """The network that the study names, with its weights; ResNet-18 sees images as teachers do."""
    if config.trunk != "resnet18":
        return Trunk(config.trunk).start_from(config).freeze().to(device)
    network = ResNet18s(ResNetShape(channels=config.channels, output_stride=32))
    load_weights(network, config)
    return network.requires_grad_(False).eval().to(device)
