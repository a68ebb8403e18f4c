"""Settings by name, and what a table owes to its reader.

``patchcore`` is the published one, for the state dict of torchvision's ``wide_resnet50_2``. ``small`` reads
EfficientNet-Lite0 and remembers 2,000 cells at most: seconds on a core. ``anomaly_dino`` is the published one
of AnomalyDINO, without its background masks and rotations, for the state dict of DINOv2's ViT-S/14.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainables.memory_bank.config import MemoryBankConfig

__all__ = ["PRESETS", "footnotes"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "patchcore": {
        "trunk": "wide_resnet50_2", "layers": (8, 16), "patch": 3, "coreset": 0.1, "most_cells": 1_000_000,
        "projection": 128, "neighbours": 1, "reweight": 0, "smoothing": 4.0,
    },
    "small": {
        "trunk": "lite0", "layers": (8, 16), "patch": 3, "coreset": 0.1, "most_cells": 20_000,
        "projection": 64, "neighbours": 1, "reweight": 0, "smoothing": 4.0,
    },
    "anomaly_dino": {
        "trunk": "dinov2_vits14", "layers": (14,), "patch": 1, "distance": "cosine", "coreset": 1.0,
        "most_cells": 200_000, "neighbours": 1, "reweight": 0, "score_share": 0.01, "smoothing": 4.0,
    },
}  # fmt: skip


def footnotes(config: MemoryBankConfig) -> Sequence[str]:
    """Footnotes of a table about ``config``."""
    notes = [
        "memory_bank: nothing is trained, and normal images alone are remembered. The scales of map and "
        "score come from normal validation images (without them, from a share of the training part that is "
        "not remembered). Defective validation images choose thresholds by their labels.",
        "memory_bank: images are brought to whole patches of 14 pixels, and used as they are: the published "
        "masks of the background and rotations of normal images are options there, and left out here."
        if config.sees_patches
        else "memory_bank: means over neighbourhoods keep all channels (published code: pooled to 1024), and "
        "maps are joined where their cells look (our reading).",
        *config.weights_notes,
    ]
    # A control must never be read as a result.
    if config.random_trunk:
        notes.append("random_trunk: the trunk learned nothing. A control, not the published method.")
    return notes
