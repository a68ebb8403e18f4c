"""The training of the method: its two stages are made, and maps read off the classifier."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainables.cam.classifier import train_classifier
from trainables.cam.config import CamConfig, ClassifierConfig, MapSettings
from trainables.cam.maps import CamMaps, load_maps, measured_maps, save_maps
from trainables.cam.network import Classifier
from trainables.cam.predictor import CamPredictor
from trainables.cam.stages import stages
from trainables.contract import Run
from trainables.data.samples import TrainingData
from trainables.nn.models import load_into, save_model
from trainables.nn.trunk.kept_maps import kept_trunk_maps
from trainables.stages import StageWork

__all__ = ["fit", "load_classifier", "make_classifier", "make_maps"]


def fit(config: CamConfig, data: TrainingData, run: Run) -> CamPredictor:
    """Train a classifier on image labels and read maps off it; no mask is read.

    The classifier's epochs are logged by its stage, with ``loss`` and ``validation.image_ap``; the trial's
    log has one row: ``offset_down`` and ``offset_right`` (pixels that the map of the last layer is moved) and
    ``map_scale``.

    Raises:
        InputError: If images or labels do not suit the config, or a weights file is not the one meant.
        Diverged: If loss or weights are no longer finite.
    """
    config = config.resolved(run.device.type)
    folders = {stage.name: run.stage(stage, data) for stage in stages(config)}
    net = load_classifier(folders["classifier"], run.device)
    maps = load_maps(folders["maps"], CamMaps(net, MapSettings.of(config)).to(run.device))
    down, right = maps.offsets[-1].tolist()
    run.log(0, {"offset_down": down, "offset_right": right, "map_scale": float(maps.scale)}, 1)
    return CamPredictor(maps, config)


def load_classifier(folder: Path, device: torch.device) -> Classifier:
    """The classifier that a stage left in ``folder``, in eval mode."""
    return load_into(folder, ClassifierConfig, Classifier)[0].to(device).eval()


def make_classifier(work: StageWork, places: Mapping[str, Any]) -> None:
    config = work.settings(ClassifierConfig, **places)
    kept = None
    if config.trunk_file is not None and config.keeps_maps:
        images, device = work.data.train, work.run.device
        kept = kept_trunk_maps(config.trunk_file, work.inputs, images, config.flips, device)
    save_model(work.folder, train_classifier(config, work.data, work.run, kept=kept), config)


def make_maps(work: StageWork) -> None:
    net = load_classifier(work.inputs["classifier"], work.run.device)
    maps, offset = measured_maps(net, work.settings(MapSettings), work.data.train)
    save_maps(work.folder, maps)
    logged = {"offset_down": offset.dy, "offset_right": offset.dx, "agreement_unmoved": offset.unmoved}
    work.run.log(0, logged, 1)
