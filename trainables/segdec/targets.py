"""Targets of SegDecNet's training: smoothed masks and pixel weights on the 8-pixel grid, and image labels.

Everything of this module is computed once per training image and fit, and kept at an eighth of the
resolution. A cell averages 17 × 17 pixels around pixel 8 i, so cell i of the *target* is centred on pixel
8 i (of the network's own grid it is 8 i + 3.5); training absorbs the shift, ``predictor.py`` undoes it.

Source: Božič et al. 2021, arXiv:2104.06064, Eq. 3 (γ), 4 and 5 (weights), and the behaviour of the released
code.
"""

# B images, H × W pixels, h × w cells of 8 × 8 pixels

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainables.data.samples import ImageSet, MaskedSample, Sample
from trainables.nn.batches.augmentation import Augmentation
from trainables.nn.batches.on_device import DeviceRows, numbers
from trainables.nn.choices import flip_views
from trainables.segdec.config import SegDecConfig
from trainables.segdec.mask_maps import CELL, WINDOW, mask_and_weights

__all__ = ["MaskTarget", "TargetBatch", "TrainingTargets", "downsize", "make_target"]


class MaskTarget(NamedTuple):
    """Training target of one image. h × w cells; a normal image or one without mask holds no map."""

    maps_2hw: Tensor | None  # smoothed mask and weight; None: mask 0 and weight 1 everywhere
    label: float
    gamma: float  # 1: the segmentation loss counts


class TargetBatch(NamedTuple):
    """Targets of B images on the training device."""

    mask_B1hw: Tensor
    weight_B1hw: Tensor
    label_B: Tensor
    gamma_B: Tensor


class TrainingTargets:
    """Targets of a training set as batches on the device that trains."""

    def __init__(self, targets: Sequence[MaskTarget], config: SegDecConfig, device: torch.device) -> None:
        """``targets``: of all images; where training flips, of all in each view of ``flip_views`` in turn."""
        self._targets, self._device, self._views = targets, device, flip_views(config.flips)
        # Images without a map of their own share one, mask 0 and weight 1: a normal image learns from each
        # of its cells, one without mask is silenced by γ.
        plain = np.zeros((2, *(side // CELL for side in config.image_size)), np.float32)
        plain[1] = 1
        maps = [plain if target.maps_2hw is None else target.maps_2hw.numpy() for target in targets]
        self._maps = DeviceRows(lambda i: maps[i], len(maps), device)

    @classmethod
    def of(cls, images: ImageSet, config: SegDecConfig, device: torch.device) -> TrainingTargets:
        """The targets of ``images``."""
        # All flips are made beforehand, or the distance transform would be repeated in every epoch.
        views = flip_views(config.flips)
        targets = [make_target(_seen(sample, *view), config) for view in views for sample in images]
        return cls(targets, config, device)

    def has_mask_loss(self, position: int) -> bool:
        """Say if the segmentation loss of an image counts."""
        return self._targets[position].gamma != 0

    def batch(self, positions: Sequence[int], views: Augmentation | None = None) -> TargetBatch:
        """Targets of the images at ``positions`` (at least one), flipped as they are seen."""
        places = positions if views is None else [self._place(i, views) for i in positions]
        chosen = [self._targets[i] for i in places]
        maps_B2hw = self._maps.batch(places)
        label_B = numbers([target.label for target in chosen], self._device)
        gamma_B = numbers([target.gamma for target in chosen], self._device)
        return TargetBatch(maps_B2hw[:, :1], maps_B2hw[:, 1:], label_B, gamma_B)

    def _place(self, position: int, views: Augmentation) -> int:
        # Targets lie one view after another, each in the order of the images.
        view = self._views.index((bool(views.mirrored[position]), bool(views.overturned[position])))
        return view * (len(self._targets) // len(self._views)) + position


def _seen(sample: Sample, mirrored: bool, overturned: bool) -> Sample:
    """The sample with a flipped mask.

    A flipped target would not do: its cells are centred on pixels 8 i, and these mirrored are others.
    """
    if not isinstance(sample, MaskedSample):
        return sample
    mask = sample.mask[:: -1 if overturned else 1, :: -1 if mirrored else 1]
    return replace(sample, mask=np.ascontiguousarray(mask))


def make_target(sample: Sample, config: SegDecConfig) -> MaskTarget:
    """The target of one training image, from its mask where the supervision shows it."""
    if not sample.label:
        return MaskTarget(None, label=0.0, gamma=1.0)
    if not isinstance(sample, MaskedSample):
        return MaskTarget(None, label=1.0, gamma=0.0)
    maps_2hw = mask_and_weights(sample.mask, config, lambda map_HW: downsize(map_HW).numpy())
    if maps_2hw is None:
        # Defective, but nothing is drawn (MTD has such) or nothing is left after the resize: teaching
        # "no defect anywhere" would be wrong, so the image counts as one without mask.
        return MaskTarget(None, label=1.0, gamma=0.0)
    label = float(maps_2hw[0].max()) if config.image_label == "soft" else 1.0
    return MaskTarget(torch.from_numpy(maps_2hw), label=label, gamma=1.0)


def downsize(map_HW: NDArray[np.float32]) -> Tensor:
    """Average 17 × 17 pixels around every eighth pixel: H/8 × W/8 cells; the border is mirrored."""
    map_11HW = torch.from_numpy(map_HW)[None, None]
    padded = F.pad(map_11HW, (CELL, CELL, CELL, CELL), mode="reflect")
    return F.avg_pool2d(padded, WINDOW, stride=CELL)[0, 0]
