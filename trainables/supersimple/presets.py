"""Settings by name, what a table owes to its reader, and which labels and weights do not go together.

``mvtec`` (no masks) and ``ksdd2`` (masks) are the published ones, on a published trunk whose file and sha256
come with the study, for a GPU. ``lite_small`` trains narrow heads on EfficientNet-Lite0 in minutes on a core;
``own_small`` needs no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainables.contract import Objection
from trainables.data.spec import DataSpec, Supervision
from trainables.supersimple.config import SuperSimpleConfig

__all__ = ["PRESETS", "footnotes", "objections"]

_Settings = Mapping[str, Any]

_PUBLISHED: _Settings = {
    # The maps of a large set would take tens of gigabytes, and a GPU makes them in passing.
    "trunk": "wide_resnet50_2", "keep_maps": False, "channels": 3, "doubled": True, "adaptor": True,
    "map_width": 1024, "decision": True, "decision_width": 128, "gradient_stop": "unsupervised",
    "noise": True, "noise_sd": 0.015, "noise_share": 0.5, "map_loss": "both", "focal_gamma": 4.0,
    "head_epochs": 300, "head_batch": 32, "adaptor_lr": 1e-4, "adaptor_weight_decay": 0.01,
    "head_lr": 2e-4, "head_weight_decay": 1e-5, "head_decay": 0.4, "map_blur": 4.0,
}  # fmt: skip
_SMALL: _Settings = {
    "map_width": 128, "decision_width": 32, "head_batch": 8, "head_epochs": 1, "head_min_steps": 300,
    "adaptor_lr": 5e-4, "head_lr": 1e-3,
}  # fmt: skip

PRESETS: Mapping[str, _Settings] = {
    "mvtec": {**_PUBLISHED, "image_size": (256, 256), "perlin_threshold": 0.2, "head_flips": "none",
              "head_clip": 0.0},
    "ksdd2": {**_PUBLISHED, "image_size": (640, 232), "perlin_threshold": 0.6, "head_flips": "both",
              "head_clip": 1.0},
    "lite_small": {**_SMALL, "trunk": "lite0"},
    "own_small": {**_SMALL, "trunk": "own", "input": "local_contrast", "width": 16, "stem": "mid",
                  "stages": 4, "blocks": 1, "output_stride": 16, "norm": "bn", "pool": "lse", "lr": 3e-3,
                  "epochs": 30, "min_steps": 320},
}  # fmt: skip


def footnotes(config: SuperSimpleConfig) -> Sequence[str]:
    """Footnotes of a table about ``config``."""
    notes = config.weights_notes
    # What the trunk learned decides how far a row can be held against the published one.
    if config.learns:
        learnt = "image labels" if config.own_task == "labels" else "rotations of normal images"
        notes.append(
            f"trunk: {config.trunk}. The frozen trunk learned {learnt} of the training part, which the "
            "published one did not."
        )
    elif config.trunk_file is not None:
        notes.append(
            f"trunk: {config.trunk_file.file}. Another frozen trunk than the published WideResNet-50."
        )
    elif config.trunk != "wide_resnet50_2":
        notes.append(f"trunk: {config.trunk}. A smaller frozen trunk than the published WideResNet-50.")
    notes.append(
        f"supersimple: a cell is defective where more than {config.mask_share:g} of it is, maps are read at "
        "the middles of the cells, and a defective image without its mask teaches the decision alone: our "
        "reading."
    )
    return notes


def objections(config: SuperSimpleConfig, supervision: Supervision, data: DataSpec) -> Sequence[Objection]:
    """Why ``config`` cannot be trained with these labels and weights; empty if it can."""
    objections: list[Objection] = []
    if config.lacks_weights is not None:
        objections.append(Objection("config.weights_file", config.lacks_weights))
    # What follows concerns training on normal images alone.
    if supervision.kind != "none":
        return objections
    if config.learns and config.own_task == "labels":
        message = (
            "a trunk that learns image labels needs defective images, found supervision: none. Use "
            "own_task: rotations, a published trunk by its weights_file, or supervision: weak."
        )
        objections.append(Objection("supervision", message))
    if not config.noise:
        message = (
            "normal images alone teach nothing without noise to tell them from, found supervision: none and "
            "noise: false. Set config.noise: true, or use supervision: weak."
        )
        objections.append(Objection("config.noise", message))
    return objections
