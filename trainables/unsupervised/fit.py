"""The whole method: its stages one after the other, then all scales from held-out normal images."""

from __future__ import annotations

from trainables.contract import Run, refuse_small_batch
from trainables.data.samples import TrainingData
from trainables.nn.training import check_images, check_norm
from trainables.unsupervised.anogan import FAnoGan
from trainables.unsupervised.chain import read_networks
from trainables.unsupervised.config import UnsupervisedConfig
from trainables.unsupervised.normals import divide_normals
from trainables.unsupervised.predictor import Detector, UnsupervisedPredictor
from trainables.unsupervised.stages import stages

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
    config = config.resolved(run.device.type)
    normals = divide_normals(data, config.held_out, run)
    check_images(config, data.train)
    _check_workers(config, run)
    folders = {stage.name: run.stage(stage, data) for stage in stages(config)}
    detector = Detector(read_networks(config, folders, run.device), config).to(run.device)
    facts = {"held_out": float(len(normals.held_out)), "clamped": float(detector.measure(normals.held_out))}
    if isinstance(detector.networks, FAnoGan):
        facts |= detector.networks.held_out_facts(normals.held_out, run)
    run.log(0, facts, 1)
    return UnsupervisedPredictor(detector, config)


def _check_workers(config: UnsupervisedConfig, run: Run) -> None:
    if config.model == "students":
        refuse_small_batch(config.student_batch, run.world_size)
        return
    refuse_small_batch(min(config.gan_batch, config.encoder_batch), run.world_size)
    check_norm("gan_norm", config.gan_norm, run)
