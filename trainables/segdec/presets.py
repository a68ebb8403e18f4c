"""Published settings by name, the footnotes that a table owes to its reader, and what cannot be trained.

``<set>``: mixed and full supervision; ``<set>_weak``: image labels only. ``ksdd`` has one departure, a
warm-up, without which many trainings fail. ``…_as_published`` takes it back and adds the accidents the
published numbers were made with. Source: the authors' experiment scripts (section 4 of the
paper states the same values). ``ksdd2_demo`` is the authors' demonstration script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainables.contract import MASKS_ALONE, Objection
from trainables.data.spec import DataSpec, Supervision
from trainables.segdec.config import SegDecConfig

__all__ = ["PRESETS", "footnotes", "needs_normal", "objections"]

_Settings = Mapping[str, Any]

_KSDD: _Settings = {
    "image_size": (1408, 512), "channels": 1, "epochs": 50, "batch_size": 1,
    "lr": 1.0, "delta": 0.01, "dilation": 7, "w_pos": 1.0, "p": 2.0,
    # At a rate of 1 from the first step on, 11 of 30 trainings fail: studies/additions/segdec_collapse.yaml.
    "lr_warmup_epochs": 2,
}  # fmt: skip
_KSDD2: _Settings = {
    "image_size": (640, 232), "channels": 3, "epochs": 50, "batch_size": 1,
    "lr": 0.01, "delta": 1.0, "dilation": 15, "w_pos": 3.0, "p": 2.0,
}  # fmt: skip
_DAGM: _Settings = {
    "image_size": (512, 512), "channels": 1, "epochs": 70, "batch_size": 1,
    "lr": 0.05, "delta": 1.0, "dilation": 7, "w_pos": 10.0, "p": 1.0,
}  # fmt: skip
_SEVERSTAL: _Settings = {
    "image_size": (256, 1600), "channels": 1, "epochs": 40, "batch_size": 10,
    "lr": 0.1, "delta": 0.1, "dilation": 1, "w_pos": 1.0, "p": 2.0,
    "checkpoint": "best",  # the one data set with a validation split of its own
}  # fmt: skip

# Off, as published, at these values: more views of few images, a rate that falls, remedies for collapses.
_ADDED = {
    "flips": "none", "schedule": "constant", "lr_warmup_epochs": 0, "clip_norm": 0.0, "weight_average": 0.0,
}  # fmt: skip
_MASKS: _Settings = {"balance": "linear", "gradient_stop": True, "distance_weights": True}
# Without masks there is nothing to weigh, and the published weak rows do without the schedule of λ.
_WEAK: _Settings = {"balance": "none", "gradient_stop": True, "distance_weights": False}
# With lr 1 and δ 0.01, as the first script had it, weak training on KolektorSDD fails (AP 0.41).
_KSDD_WEAK: _Settings = {"lr": 0.01, "delta": 1.0, "lr_warmup_epochs": 0}
# The first release of the code, which made the paper's numbers.
_ACCIDENTS: _Settings = {
    "image_label": "soft", "forced_stop_epochs": 10, "drop_last": True, "redraw": "counter",
    "lr_warmup_epochs": 0,
}  # fmt: skip


def _published() -> dict[str, _Settings]:
    """Build every preset, each complete in itself."""
    with_masks: dict[str, _Settings] = {
        "ksdd": _KSDD,
        "ksdd2": _KSDD2,
        "dagm": _DAGM,
        "severstal": _SEVERSTAL,  # all 3000 training images
        "severstal_300": {**_SEVERSTAL, "epochs": 90},
        "severstal_750": {**_SEVERSTAL, "epochs": 80},
        "severstal_1500": {**_SEVERSTAL, "epochs": 60},
        "severstal_ablation": {**_SEVERSTAL, "epochs": 50},  # 1000 training images, Table 4
    }

    # KolektorSDD alone has another rate for weak training.
    weak: dict[str, _Settings] = {**with_masks, "ksdd": {**_KSDD, **_KSDD_WEAK}}
    presets: dict[str, _Settings] = {name: {**settings, **_MASKS} for name, settings in with_masks.items()}
    # DEMO.sh: all 246 masks, and ten times the published batch at the same learning rate.
    presets["ksdd2_demo"] = {**_KSDD2, **_MASKS, "batch_size": 10}
    presets |= {f"{name}_weak": {**settings, **_WEAK} for name, settings in weak.items()}

    # A copy of the items, since the loop adds to what it walks through.
    for name, preset in list(presets.items()):
        presets[f"{name}_as_published"] = {**preset, **_ACCIDENTS}
    return presets


PRESETS: Mapping[str, _Settings] = _published()


def needs_normal(config: SegDecConfig) -> str | None:
    """The way out where every training image is defective; None where the classification learns nothing."""
    if config.delta == 0:
        return None
    return f"Set `config.delta: 0`, which trains the mask head alone. {MASKS_ALONE}"


def footnotes(config: SegDecConfig) -> Sequence[str]:
    """Footnotes of a table about ``config``: each departure from the paper or from good habits."""
    # A note only where this row departs from what its reader would take for granted: a table with all notes
    # at every row would have none that is read.
    notes: list[str] = []
    if config.delta == 0:
        notes.append(
            "delta: 0. The classification head learns nothing: image scores, and what is counted by them, "
            "say nothing. Masks do."
        )
    if config.image_label == "soft":
        notes.append(
            "image_label: soft. The classification target is the maximum of the smoothed mask, as in the "
            "published code: it carries the defect's size, so scores are not defect probabilities. Defective "
            "images without a known mask get 1; the published weak rows took even theirs from hidden masks."
        )
    if config.forced_stop_epochs and not config.gradient_stop:
        notes.append(
            f"forced_stop_epochs: {config.forced_stop_epochs}. The gradient stop is on in the first "
            f"{config.forced_stop_epochs} epochs although this row has it off, as in the first released code."
        )
    if config.drop_last and config.batch_size > 1:
        drift = ", and the draw of normal images drifts across epochs" if config.redraw == "counter" else ""
        notes.append(
            f"drop_last. The incomplete last batch of an epoch is dropped{drift}, as in the published code."
        )
    if config.sf_kernel == 5 or config.first_convs == 2:
        notes.append(
            f"sf_kernel: {config.sf_kernel}, first_convs: {config.first_convs}. The network departs from the "
            "released one (15, 1) towards the paper's Table 1 (5, 2)."
        )
    if config.feature_norm == "std":
        notes.append(
            "feature_norm: std. Features are divided by their standard deviation; the released network "
            "divides by its square root."
        )
    if config.batch_gradient == "mean" and config.batch_size > 1:
        notes.append(
            f"batch_gradient: mean. A step takes the mean gradient of its {config.batch_size} images; the "
            "published code sums them, which is a larger learning rate."
        )
    if config.dilation > 1:
        notes.append(
            f"dilation: {config.dilation}. Masks are dilated in training only; the evaluation compares with "
            "the original masks, so a heatmap as wide as its training masks counts false pixels."
        )
    if config.channel_scale != 1:
        notes.append(
            f"channel_scale: {config.channel_scale:g}. A network of another width than the published one."
        )
    if config.distance_weights and config.distance_scope == "component":
        notes.append("distance_scope: component. The published numbers use the image-wide maximum.")
    added = [f"{name}: {value}" for name, off in _ADDED.items() if (value := getattr(config, name)) != off]
    if added:
        notes.append(
            f"{', '.join(added)}. The published training has a constant rate, no flips, no clipping and no "
            "averaged weights."
        )
    if config.balance == "power":
        notes.append(
            f"balance: power {config.balance_power:g}. The published schedule of λ is linear (power 1)."
        )
    return notes


def objections(config: SegDecConfig, supervision: Supervision, data: DataSpec) -> Sequence[Objection]:
    """Why ``config`` cannot be trained on this data; empty if it can."""
    if config.checkpoint == "best" and data.validation is None:
        message = (
            "checkpoint: best chooses the epoch on validation images, found `validation: none`. Set "
            "data.validation: {share: 0.2, by: item}, or config.checkpoint: last."
        )
        return [Objection("data.validation", message)]
    if config.checkpoint == "best" and data.tiles is not None and supervision.kind != "full":
        message = (
            "checkpoint: best chooses the epoch on validation tiles, and masks alone say which of them are "
            f"defective: they are seen with supervision: full, found {supervision}. Set "
            "config.checkpoint: last, or supervision: full."
        )
        return [Objection("config.checkpoint", message)]
    return []
