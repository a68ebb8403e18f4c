"""Settings by name, what a table owes to its reader, and what labels a model cannot do without.

``…_small`` trains from random weights in minutes on two cores; ``…_standard`` is the usual size, for a GPU;
``…_pretrained`` is the layout that a ``weights_file`` fits (the file and its sha256 come with the study).
None of them is published: the papers name neither backbone nor schedule of their supervised rows. Classifiers
have batch normalisation for the sake of their maps (``nn/layers/norm.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainables.contract import MASKS_ALONE, Objection
from trainables.data.spec import DataSpec, Supervision
from trainables.supervised.config import SupervisedConfig

__all__ = ["PRESETS", "footnotes", "needs_normal", "objections"]

_Settings = Mapping[str, Any]

_SMALL: _Settings = {
    "encoder": "resnet18s", "width": 16, "stem": "mid", "stages": 3, "blocks": 1, "output_stride": 8,
    "norm": "bn", "lr": 3e-3, "weight_decay": 1e-4, "schedule": "cosine",
    "batch_size": 16, "epochs": 30, "min_steps": 320,
}  # fmt: skip
_STANDARD: _Settings = {
    **_SMALL, "width": 64, "stem": "tv", "stages": 4, "blocks": 2, "output_stride": 16,
    "lr": 1e-3, "epochs": 50,
}  # fmt: skip
_PRETRAINED: _Settings = {**_STANDARD, "lr": 3e-4}

_CLASSIFIER: _Settings = {"model": "classifier", "pool": "lse"}
_UNET: _Settings = {"model": "unet", "top_share": 0.001}
_PLAIN: _Settings = {**_UNET, "encoder": "plain", "norm": "gn"}
_SMALL_UNET: _Settings = {
    **_SMALL, **_PLAIN, "base": 8, "levels": 3, "batch_size": 8, "epochs": 20, "min_steps": 210,
}  # fmt: skip

PRESETS: Mapping[str, _Settings] = {
    "classifier_small": {**_SMALL, **_CLASSIFIER},
    "classifier_standard": {**_STANDARD, **_CLASSIFIER},
    "classifier_pretrained": {**_PRETRAINED, **_CLASSIFIER},
    "unet_small": _SMALL_UNET,
    "unet_standard": {**_STANDARD, **_PLAIN, "base": 32, "levels": 4},
    "unet_pretrained": {**_PRETRAINED, **_UNET, "output_stride": 32},
}


def footnotes(config: SupervisedConfig) -> Sequence[str]:
    """Footnotes of a table about ``config``."""
    notes = config.weights_notes
    # Both notes say what a score rests on, which a reader of the table cannot see.
    if config.model == "classifier":
        notes.append(
            "model: classifier reads image labels only, whatever the supervision; its heatmap is the "
            "class-activation map."
        )
    if config.learns_from_masks_alone:
        notes.append(
            "image_weight: 0: pixels alone are learned. The score of an image is that of its most suspicious "
            "pixels."
        )
    return notes


def needs_normal(config: SupervisedConfig) -> str | None:
    """The way out where every training image is defective; None for a U-Net that learns from masks alone."""
    if config.model == "classifier":
        return MASKS_ALONE
    if config.learns_from_masks_alone:
        return None
    return "Set `config.image_weight: 0`: there is nothing to tell defective images from. Or add some"


def objections(config: SupervisedConfig, supervision: Supervision, data: DataSpec) -> Sequence[Objection]:
    """Why ``config`` cannot be trained with these labels; empty if it can."""
    if config.model == "unet" and not supervision.reads_masks:
        message = (
            f"model: unet learns from masks, found supervision {supervision}. Use supervision: full or "
            "{mixed: N}, or model: classifier."
        )
        return [Objection("supervision", message)]
    return []
