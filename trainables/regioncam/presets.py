"""Settings by name, and what a table owes to its reader.

``small`` trains classifier and two rounds from random weights in a few minutes on one core; ``standard`` is
for larger images and a GPU; ``pretrained`` the layout that a ``weights_file`` fits. None is published: the
paper's settings are unknown to us.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainables.cam.presets import PRESETS as CAM_PRESETS
from trainables.cam.presets import footnotes as cam_footnotes
from trainables.regioncam.config import RegionCamConfig

__all__ = ["PRESETS", "footnotes"]

_Settings = Mapping[str, Any]

_SMALL: _Settings = {
    **CAM_PRESETS["small"],
    "segment_base": 8, "segment_levels": 3, "segment_batch": 8, "segment_epochs": 1, "segment_min_steps": 100,
}  # fmt: skip
_STANDARD: _Settings = {**CAM_PRESETS["standard"], "segment_base": 32}

PRESETS: Mapping[str, _Settings] = {
    "small": _SMALL,
    "standard": _STANDARD,
    "pretrained": {**_STANDARD, **CAM_PRESETS["pretrained"]},
}


def footnotes(config: RegionCamConfig) -> Sequence[str]:
    """Footnotes of a table about ``config``."""
    notes = [
        "regioncam: filtering-guided backpropagation (FGBP), region-aware weights and rounds of pseudo "
        "labels are our reading of Dong et al. 2025 (arXiv:2506.22866), of which only the abstract was at "
        "hand. Formulas, nets and settings are ours, and nothing here reproduces the paper's figures."
    ]
    notes += cam_footnotes(config)
    if config.gradient_filter is not None and config.explained == (len(config.maps),):
        notes.append(
            "fgbp: inert here. No ReLU lies between the last stage and the logit, so its gradients are the "
            "same with and without."
        )
    if config.crf and not config.rounds:
        notes.append(
            "crf: inert on answers without rounds. It refines labels that train nothing; the map answers."
        )
    elif config.crf:
        notes.append(
            "crf: left out where it leaves less than crf_guard of the area on training images (`…_crf` in "
            "the trial's log: 1 applied, 0 left out)."
        )
    return notes
