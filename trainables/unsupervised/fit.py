"""The whole method: its stages, each a few files, then all scales from held-out normal images.

    f_anogan:  gan ── encoder
    students:  teacher_17 ── students_17, and so on for every scale

How maps are read off trained networks (stride, placing, scales, score, variance) is no part of a stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainables.contract import Run, refuse_small_batch
from trainables.data.samples import TrainingData
from trainables.nn.models import load_model, save_model, with_layout
from trainables.nn.training.parts import check_images, check_norm
from trainables.stages import StageWork
from trainables.unsupervised.anogan import FAnoGan, train_encoder, train_gan
from trainables.unsupervised.config import Scale, UnsupervisedConfig
from trainables.unsupervised.normals import divide_normals
from trainables.unsupervised.predictor import Detector, UnsupervisedPredictor
from trainables.unsupervised.stages import stages
from trainables.unsupervised.students import School, Students, train_students
from trainables.unsupervised.teacher import train_teacher

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
    # Held-out normal images measure the scales; they must not have trained anything.
    config = config.resolved(run.device.type)
    normals = divide_normals(data, config.held_out, run)
    check_images(config, data.train)
    _check_workers(config, run)

    # Training is in the stages; reading maps and scores off the networks is not, so trials that differ
    # there share all of it.
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
    # Both of f-AnoGAN's trainings run on the same workers, so the smaller batch decides.
    refuse_small_batch(min(config.gan_batch, config.encoder_batch), run.world_size)
    check_norm("gan_norm", config.gan_norm, run)


def read_networks(
    config: UnsupervisedConfig, folders: Mapping[str, Path], device: torch.device
) -> FAnoGan | Students:
    """The trained networks, by the folders of their stages."""
    if config.model == "f_anogan":
        nets = FAnoGan(config)
        for stage in ("gan", "encoder"):
            _read_into(nets, folders[stage])
    else:
        nets = Students(config)
        for scale, school in nets.schools.items():
            for stage in ("teacher", "students"):
                _read_into(school, folders[f"{stage}_{scale}"])
    return with_layout(nets, config).to(device).requires_grad_(False).eval()


# The stages --------------------------------------------------------------------------------------------


def make_gan(work: StageWork) -> None:
    config = _settings(work)
    normals = divide_normals(work.data, config.held_out, work.run)
    generator, critic = train_gan(config, normals.train, work.run)
    save_model(work.folder, nn.ModuleDict({"generator": generator, "critic": critic}), config)


def make_encoder(work: StageWork) -> None:
    config = _settings(work)
    nets = FAnoGan(config)
    _read_into(nets, work.inputs["gan"])
    normals = divide_normals(work.data, config.held_out, work.run)
    nets = with_layout(nets, config).to(work.run.device)
    encoder = train_encoder(nets, normals.train, work.run)
    save_model(work.folder, nn.ModuleDict({"encoder": encoder}), config)


def make_teacher(work: StageWork, *, weights_file: str | None) -> None:
    """The teacher, with the statistics of images and of its descriptors."""
    config = _settings(work, weights_file=weights_file)
    normals = divide_normals(work.data, config.held_out, work.run)
    # The statistics of descriptors belong to the teacher: students learn its standardised descriptors.
    school = School(config, _scale(config))
    school.input.measure(normals.train)
    school = with_layout(school, config).to(work.run.device)
    school.teacher = train_teacher(config, _scale(config), normals.train, school.input, work.run)
    school.measure_teacher(normals.train)
    del school.students  # they come later, as many as a trial wants
    save_model(work.folder, school, config)


def make_students(work: StageWork) -> None:
    config = _settings(work)
    school = School(config, _scale(config))
    _read_into(school, work.inputs[f"teacher_{_scale(config)}"])
    school = with_layout(school, config).to(work.run.device)
    normals = divide_normals(work.data, config.held_out, work.run)
    train_students(school, normals.train, work.run)
    save_model(work.folder, nn.ModuleDict({"students": school.students}), config)


def _settings(work: StageWork, **more: Any) -> UnsupervisedConfig:
    """A stage's settings. The score is none of them, and its default window must fit into small images."""
    side, default = min(work.config["image_size"]), UnsupervisedConfig.model_fields["score_pool"].default
    return work.settings(UnsupervisedConfig, score_pool=min(default, side - 1 + side % 2), **more)


def _scale(config: UnsupervisedConfig) -> Scale:
    (scale,) = config.scales
    return scale


def _read_into(network: nn.Module, folder: Path) -> None:
    """A stage's tensors into a network that has more than they."""
    tensors, _ = load_model(folder, UnsupervisedConfig)
    missing = network.load_state_dict(tensors, strict=False)
    assert not missing.unexpected_keys, "a stage's settings hold the shape of its networks"
