"""Fills the holes of IEM: a U-Net that was trained on normal images only, or OpenCV's method."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from trainables.contract import Run
from trainables.data.samples import ImageSet, TrainingData
from trainables.focus.config import FocusConfig
from trainables.focus.extension import Fill
from trainables.nn.batches.on_device import TrainingImages, sent
from trainables.nn.batches.passes import image_batches
from trainables.nn.batches.sampling import BalancedSampler
from trainables.nn.labels.inpaint import (
    INPAINTING_LOSSES,
    Inpainter,
    blob_masks,
    draw_masks,
    inpaint_batch,
    telea,
)
from trainables.nn.layers.initialisation import drawn_seed, initialise
from trainables.nn.losses.ssim import psnr
from trainables.nn.models import with_layout
from trainables.nn.training.loop import BatchShard, TrainingHooks, TrainingSchedule, train
from trainables.unsupervised.normals import normal_images

__all__ = ["filler", "new_inpainter", "train_inpainter"]

_HELD_OUT = 32  # normal validation images whose reconstruction is measured
_EXACT = 100.0  # dB that an exact reconstruction counts as


def new_inpainter(config: FocusConfig) -> Inpainter:
    """The inpainting net, with arbitrary weights."""
    return Inpainter(config.channels, config.inpainter_base, config.inpainter_levels)


def filler(config: FocusConfig, inpainter: Inpainter | None) -> Fill:
    """The function that paints over a mask, and leaves all else as it was."""
    if inpainter is not None:
        return inpainter.eval().fill
    return partial(telea, radius=config.iem_radius)


def train_inpainter(config: FocusConfig, data: TrainingData, run: Run) -> Inpainter:
    """Train the inpainting net on the normal training images; no other image is looked at.

    Logs per epoch: ``loss`` and its three parts, ``lr``; in the end ``held_out_psnr``.
    """
    normals = normal_images(data.train)
    images = TrainingImages(normals, config, run.device)
    inpainter = new_inpainter(config)
    initialise(inpainter, drawn_seed(run.generator("init")))
    inpainter = with_layout(inpainter, config).to(run.device)

    def backward(shard: BatchShard) -> Mapping[str, Tensor]:
        # Masks of the whole batch are drawn on every worker and each takes its own images', so the number
        # of workers changes no mask.
        masks_SBHW = draw_masks(shard.size, config.image_size, run.generator("masks", shard.step))
        masks_SBHW = sent(masks_SBHW[:, shard.places], run.device)
        return inpaint_batch(inpainter, images.batch(shard.positions), masks_SBHW, shard.size)

    def measure(_epoch: int) -> Mapping[str, float]:
        return _held_out_psnr(inpainter, config, data.validation, run)

    optimiser = torch.optim.AdamW(
        inpainter.parameters(), lr=config.inpainter_lr, weight_decay=config.inpainter_weight_decay
    )
    # One class only: the sampler then shuffles it.
    sampler = BalancedSampler(np.ones(len(normals), np.bool_), config.inpainter_batch)
    schedule = TrainingSchedule(config.inpainter_epochs, config.inpainter_min_steps)
    hooks = TrainingHooks(backward, INPAINTING_LOSSES, validate=measure)
    train(inpainter, optimiser, run, schedule=schedule, sampler=sampler, hooks=hooks)
    return inpainter.eval()


def _held_out_psnr(
    inpainter: Inpainter, config: FocusConfig, held_out: ImageSet | None, run: Run
) -> dict[str, float]:
    """Mean PSNR, dB, inside blobs cut out of normal validation images; nothing where there are none."""
    if held_out is None:
        return {}
    inpainter.eval()
    values: list[Tensor] = []
    normals = np.flatnonzero(~held_out.labels)[:_HELD_OUT].tolist()
    for index, image_BCHW in zip(normals, image_batches(held_out, normals, run.device, 1), strict=True):
        # The same holes in every validation, so the figure follows the net and not the luck of the holes.
        mask_BHW = blob_masks(1, config.image_size, run.generator("held out", index))[0].to(run.device)
        inside_BCHW = mask_BHW[:, None].expand_as(image_BCHW)
        filled, truth = (
            x[inside_BCHW][None, None, None] for x in (inpainter.fill(image_BCHW, mask_BHW), image_BCHW)
        )
        values.append(psnr(filled, truth).clamp(max=_EXACT))
    return {"held_out_psnr": float(torch.cat(values).mean())} if values else {}
