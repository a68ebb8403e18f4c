"""The whole method: its stages one after the other, then all scales from held-out normal images."""

from __future__ import annotations

from trainables.contract import Run, refuse_small_batch
from trainables.data.samples import TrainingData
from trainables.errors import InputError
from trainables.unsupervised.anogan import FAnoGan
from trainables.unsupervised.chain import read_networks, stages
from trainables.unsupervised.config import UnsupervisedConfig
from trainables.unsupervised.normals import divide_normals
from trainables.unsupervised.predictor import Detector, UnsupervisedPredictor

__all__ = ["fit"]


def fit(config: UnsupervisedConfig, data: TrainingData, run: Run) -> UnsupervisedPredictor:
    """Train f-AnoGAN or Uninformed Students on the normal images of ``data``; no other is looked at.

    Epochs are logged by the stages; the trial's log has one row with what was measured: ``held_out`` normal
    images, how many of them had the denominator of their score ``clamped``, and of f-AnoGAN the mean
    distances of patches of theirs.

    Raises:
        InputError: If images or labels do not suit the config, or a weights file is not the one meant.
        Diverged: If a loss or weight is no longer finite.
    """
    config = config.resolved("cuda" if run.device.type == "cuda" else "cpu")
    normals = divide_normals(data, config.held_out, run)
    _check(config, data, run)
    folders = {stage.name: run.stage(stage, data) for stage in stages(config)}
    detector = Detector(read_networks(config, folders, run.device), config).to(run.device)
    facts = {"held_out": float(len(normals.held_out)), "clamped": float(detector.measure(normals.held_out))}
    if isinstance(detector.networks, FAnoGan):
        facts |= detector.networks.held_out_facts(normals.held_out, run)
    run.log(0, facts, 1)
    return UnsupervisedPredictor(detector, config)


def _check(config: UnsupervisedConfig, data: TrainingData, run: Run) -> None:
    expected, found = (*config.image_size, config.channels), data.train[0].image.shape
    if found != expected:
        raise InputError(
            f"images have the config's image_size and channels, {expected}, found {found} in "
            f"{data.train.ids[0]}. Prepare the images with this config's size."
        )
    if config.model == "students":
        refuse_small_batch(config.student_batch, run.world_size)
        return
    refuse_small_batch(min(config.gan_batch, config.encoder_batch), run.world_size)
    if run.world_size > 1 and config.gan_norm == "bn":
        raise InputError(
            f"gan_norm: bn takes statistics over a worker's own patches, so {run.world_size} workers would "
            "train another model than one. Set gan_norm: gn, or resources.workers: 1."
        )
