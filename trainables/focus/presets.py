"""Settings by name, and what a table owes to its reader.

``reduced`` trains the whole chain from random weights in some minutes on one core (measured on magnetic
tiles at 128 × 128): a small classifier, OpenCV's inpainting instead of a net, small U-Nets.
``standard`` is for larger images and a GPU; ``pretrained`` the layout that a ``weights_file`` fits. None is
published: the paper's settings are unknown to us.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainables.cam.presets import PRESETS as CAM_PRESETS
from trainables.focus.config import FocusConfig

__all__ = ["PRESETS", "footnotes"]

_Settings = Mapping[str, Any]

_REDUCED: _Settings = {
    **CAM_PRESETS["small"],
    "iem_inpainter": "telea",
    "segment_base": 8, "segment_levels": 3, "segment_batch": 8, "segment_epochs": 1, "segment_min_steps": 100,
    # A hundredth of the pixels is ten times a blowhole.
    "student_top_share": 0.001,
}  # fmt: skip
_STANDARD: _Settings = {**CAM_PRESETS["standard"], "iem_inpainter": "unet", "segment_base": 32}

PRESETS: Mapping[str, _Settings] = {
    "reduced": _REDUCED,
    "standard": _STANDARD,
    "pretrained": {**_STANDARD, **CAM_PRESETS["pretrained"]},
}


def footnotes(config: FocusConfig) -> Sequence[str]:
    """Footnotes of a table about ``config``."""
    notes = [
        "focus: CLM and GCM (with both the classifier is the paper's DFC), IEM, the place of the CRF, the "
        "additional round and the student are our reading of Yan et al. 2025, of which only the abstract was "
        "at hand. Formulas, nets and settings are ours, and nothing here reproduces the paper's figures."
    ]
    notes += config.weights_notes
    if config.crf:
        notes.append(
            "crf: left out where it leaves less than crf_guard of the area that the first net found on "
            "training images (`crf` in the trial's log: 1 applied, 0 left out)."
        )
    return notes
