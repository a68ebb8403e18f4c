"""Images and labels of one trial on this node. Only masks that training may read are opened."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from assay.engine.pack_site import PackSite
from assay.study import Trial
from trainables.data import (
    Manifest,
    Split,
    Supervision,
    load_evaluation,
    load_training,
    load_truth,
    make_split,
    open_images,
    open_manifest,
)
from trainables.data.cache import ArrowImages
from trainables.data.samples import EvaluationData, ImageSet, TrainingData
from trainables.errors import InputError

__all__ = ["TrialData"]


@dataclass(frozen=True)
class TrialData:
    """The trial's images and labels on this node: each part is read when it is asked for."""

    manifest: Manifest
    split: Split
    supervision: Supervision
    images: ArrowImages

    @classmethod
    def open(cls, trial: Trial, site: PackSite) -> TrialData:
        """Find them; they must be what the plan was made from."""
        root = Path(site.pack.data_root) if site.pack.data_root else None
        cache = Path(site.pack.cache)
        manifest = open_manifest(trial.data, root, cache)
        if manifest.hash != trial.manifest:
            raise InputError(
                f"the data under {root} on {socket.gethostname()} are not those of the plan: manifest "
                f"{manifest.hash[:12]}, planned {trial.manifest[:12]}. Put the same files "
                "on every node, or plan anew."
            )
        split = make_split(manifest, trial.data, trial.supervision, trial.seed, trial.fold)
        height, width = trial.config["image_size"]
        images = open_images(manifest, (height, width), trial.config["channels"], cache, tiles=split.tiles)
        return cls(manifest, split, trial.supervision, images)

    def training(self) -> TrainingData:
        return load_training(self.manifest, self.split, self.supervision, self.images)

    def evaluation(self) -> EvaluationData:
        return load_evaluation(self.manifest, self.split, self.supervision, self.images)

    def truth(self) -> ImageSet:
        """Training images with all masks: asked for when training is over, and never by what trains."""
        return load_truth(self.manifest, self.split, self.images)
