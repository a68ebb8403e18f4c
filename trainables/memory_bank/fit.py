"""The whole method: what is remembered is a stage, then scales are measured on held-out normal images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.contract import Run, TrainingCutError
from trainables.data.samples import ImageSet, TrainingData
from trainables.data.tensors import images_to_tensor
from trainables.errors import InputError
from trainables.memory_bank.bank import Bank, farthest_points
from trainables.memory_bank.config import MemoryBankConfig
from trainables.memory_bank.predictor import Detector, MemoryBankPredictor, read_bank
from trainables.memory_bank.stages import stages
from trainables.nn.batches.passes import image_passes, images_per_pass
from trainables.nn.layers.initialisation import drawn_seed
from trainables.nn.layers.trunk import Trunk
from trainables.nn.models import save_model, with_layout
from trainables.nn.training.parts import check_images
from trainables.nn.trunk.kept_maps import kept_trunk_maps
from trainables.stages import StageWork
from trainables.unsupervised.normals import divide_normals

__all__ = ["fit", "make_bank"]

_STATISTICS = 16  # images from which a random trunk takes its normalisations' statistics


def fit(config: MemoryBankConfig, data: TrainingData, run: Run) -> MemoryBankPredictor:
    """Remember the normal images of ``data``; no other is looked at.

    The stage logs ``cells`` (that it chose from), ``remembered`` and ``reach`` (largest distance of a cell
    from what is remembered, in the projection). The trial's log has one row: ``held_out`` normal images.

    Raises:
        InputError: If images do not suit the config, none is normal, or the weights file is not named or not
            the one meant.
    """
    config = config.resolved(run.device.type)
    for objection in config.trunk_objections:
        raise InputError(f"{objection.setting}: {objection.message}.")
    # Scales need normal images that the bank does not hold: a remembered image is at distance 0 from itself.
    normals = divide_normals(data, config.held_out, run)
    check_images(config, data.train)
    _check_cells(config, len(normals.train))

    # The bank is a stage, so trials that differ in the score, the neighbours or the smoothing share it.
    folders = {stage.name: run.stage(stage, data) for stage in stages(config)}
    bank = read_bank(folders["bank"], config)
    detector = Detector(with_layout(bank, config), config).to(run.device)
    detector.measure(normals.held_out)
    run.log(0, {"held_out": float(len(normals.held_out))}, 1)
    return MemoryBankPredictor(detector, config)


def _check_cells(config: MemoryBankConfig, images: int) -> None:
    """Refuse weights by the neighbours of a cell where one cell is remembered: all of them would be 0.

    Raises:
        InputError: Then.
    """
    cells = images * config.cells_per_image
    if config.reweight and config.remembered(cells) == 1:
        raise InputError(
            f"reweight: {config.reweight} weighs by remembered cells around the nearest one, found one "
            f"(coreset: {config.coreset:g} of {cells} cells). Raise coreset, or set reweight: 0."
        )


def make_bank(work: StageWork, *, places: Mapping[str, Any]) -> None:
    config = work.settings(MemoryBankConfig, **places)
    run = work.run
    # The same division as in ``fit``, from the same random numbers: held-out images are not remembered.
    images = divide_normals(work.data, config.held_out, run).train
    bank = Bank(config, 1)
    trunk = Trunk(config.trunk, max(config.layers)).start_from(config)

    # Random maps fade with depth unless the normalisations know them, so a few images set the statistics.
    if config.random_trunk:
        shown = images_to_tensor([images[i].image for i in range(min(len(images), _STATISTICS))], run.device)
        trunk.to(run.device).randomise(drawn_seed(run.generator("init")), shown)
    bank.trunk = trunk.freeze()
    bank = with_layout(bank, config).to(run.device)

    # From all cells to the few that cover them. Greedy choice costs a pass over all cells for each that is
    # chosen, hence on a projection to fewer dimensions (section 3.2).
    cells_NC = _drawn_cells(bank, _descriptions(bank, images, work), len(images), run)
    count = config.remembered(len(cells_NC))
    chosen, reach = list(range(len(cells_NC))), 0.0
    if count < len(cells_NC):
        # A training that is only timed ends within the choice; one cell then makes a bank of the right kind.
        chosen, reach = [0], math.nan
        points_ND = _projected(cells_NC, config.projection, run)
        first = int(run.generator("first cell").integers(len(cells_NC)))
        with suppress(TrainingCutError):
            chosen, reach = farthest_points(points_ND, count, first, lambda turn: run.step(turn, count, 1))
    bank.cells_MC = nn.Parameter(cells_NC[chosen], requires_grad=False)
    facts = {"cells": float(len(cells_NC)), "remembered": float(len(chosen)), "reach": reach}
    with suppress(TrainingCutError):
        run.log(0, facts, 1)
    save_model(work.folder, bank, config)


def _descriptions(bank: Bank, images: ImageSet, work: StageWork) -> Iterator[Tensor]:
    """Descriptions of images in order, a pass at a time, B × C × h × w; of a trunk's file by its stage."""
    device, cost, file = work.run.device, bank.config.pass_cost, bank.config.trunk_file
    everything = range(len(images))
    if file is None:
        for images_BCHW in image_passes(images, everything, device, cost):
            yield bank.describe(images_BCHW)
        return
    kept = kept_trunk_maps(file, work.inputs, work.data.train, "none", device)
    positions = {name: position for position, name in enumerate(work.data.train.ids)}
    at_once = images_per_pass(bank.config.image_size, device, cost)
    for start in everything[::at_once]:
        maps = kept.read([positions[name] for name in images.ids[start : start + at_once]])
        yield bank.joined(dict(zip(file.strides, maps, strict=True)))


@torch.inference_mode()
def _drawn_cells(bank: Bank, described_BChw: Iterable[Tensor], images: int, run: Run) -> Tensor:
    """Descriptions of all cells of images, N × C, or of as many as the config admits, drawn at random."""
    config, described, before = bank.config, list[Tensor](), 0
    # Cells are drawn by number before any is described, so no more than these are ever held in memory.
    numbers = run.generator("cells").permutation(config.cells_per_image * images)
    drawn = np.sort(numbers[: config.most_cells])
    for batch in described_BChw:
        cells_NC = batch.flatten(2).transpose(1, 2).flatten(0, 1)
        here = drawn[(drawn >= before) & (drawn < before + len(cells_NC))] - before
        described.append(cells_NC[torch.from_numpy(here).to(run.device)])
        before += len(cells_NC)
    return torch.cat(described)


def _projected(cells_NC: Tensor, dimensions: int, run: Run) -> Tensor:
    """The cells in so many random directions, in which distances are kept nearly; all for 0."""
    channels = cells_NC.shape[1]
    if not 0 < dimensions < channels:
        return cells_NC
    directions = run.generator("projection").standard_normal((channels, dimensions), dtype=np.float32)
    return cells_NC @ torch.from_numpy(directions / math.sqrt(dimensions)).to(cells_NC.device)
