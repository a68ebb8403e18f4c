"""Images and labels of one trial on this node, and the masks that a rule picks among them.

Only masks that training may read are opened, and those that a rule picks once it has picked: the rule is
given training images and what pilots say of them.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    mask_candidates,
    open_images,
    open_manifest,
    with_masks,
)
from trainables.data.cache import ArrowImages
from trainables.data.samples import EvaluationData, ImageSet, TrainingData
from trainables.errors import InputError
from trainables.next_images import FirstMaps, NextImage, next_images

__all__ = ["TrialData"]


@dataclass(frozen=True)
class TrialData:
    """The trial's images and labels on this node: each part is read when it is asked for."""

    manifest: Manifest
    split: Split
    supervision: Supervision
    images: ArrowImages
    picked: tuple[NextImage, ...] = ()  # training images whose masks a rule has added

    @classmethod
    def open(cls, trial: Trial, site: PackSite) -> TrialData:
        """Find them, as they are before a rule picks; the data must be what the plan was made from."""
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
        return cls(manifest, split, trial.supervision.start, images)

    def with_picked_masks(self, supervision: Supervision, first: Sequence[FirstMaps]) -> TrialData:
        """The same with as many masks as ``supervision`` says, picked by its rule from pilots' maps."""
        assert supervision.masks is not None, "a rule picks masks of mixed supervision"
        picked = next_images(
            supervision.by,
            supervision.masks - len(self.split.masks),
            mask_candidates(self.manifest, self.split),
            known=self.split.masks,
            images=self.images,
            first=first,
        )
        split = with_masks(self.split, [image.sample for image in picked])
        return replace(self, split=split, supervision=supervision, picked=tuple(picked))

    def training(self) -> TrainingData:
        return load_training(self.manifest, self.split, self.supervision, self.images)

    def evaluation(self) -> EvaluationData:
        return load_evaluation(self.manifest, self.split, self.supervision, self.images)

    def truth(self) -> ImageSet:
        """Training images with all masks: asked for when training is over, and never by what trains."""
        return load_truth(self.manifest, self.split, self.images)
