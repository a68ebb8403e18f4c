"""The stages of the chain, in order, with the settings that each depends on; ``chain.py`` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from trainables.cam.config import classifier_settings
from trainables.cam.stages import classifier_stage
from trainables.focus.config import FocusConfig
from trainables.later import Later
from trainables.stages import Stage

__all__ = ["stages"]

_COMMON = ("image_size", "channels", "precision", "memory_format")
_LABELS = ("iem", "threshold", "foreground", "background", "area")
_SEGMENTATION = ("flips", "photometric", "weight_decay", "schedule", "pos_weight", "dice_weight")


def stages(config: FocusConfig) -> Sequence[Stage]:
    """The stages of ``config``, in the order in which they are made."""

    def settings(*prefixes: str, names: Sequence[str] = ()) -> dict[str, Any]:
        return config.part(*prefixes, names=(*_COMMON, *names))

    segmentation = settings("segment_", names=_SEGMENTATION)
    crf = config.part("crf") if config.crf else {}
    chain = [classifier_stage(config)]
    if config.clm or config.gcm:
        make = partial(Later("trainables.focus.chain:make_classifier"), weights_file=config.weights_file)
        chain = [Stage("classifier", settings() | _classifier_settings(config), make)]
    if config.uses_inpainter:
        chain.append(
            Stage("inpainter", settings("inpainter_"), Later("trainables.focus.chain:make_inpainter"))
        )
    iem = config.part("iem") if config.iem != "off" else {"iem": "off"}
    read = tuple(stage.name for stage in chain)
    chain.append(
        Stage(
            "maps", settings(names=("recentre",)) | iem, Later("trainables.focus.chain:make_maps"), after=read
        )
    )
    pseudo = settings(names=_LABELS)
    chain.append(
        Stage(
            "pseudo",
            pseudo,
            Later("trainables.focus.chain:make_pseudo"),
            after=("maps",),
            shows=config.map_names,
        )
    )
    chain.append(
        Stage("s1", segmentation, Later("trainables.focus.chain:make_s1"), after=("pseudo",), shows=("s1",))
    )
    labels, last = "pseudo", "s1"
    if config.refines:
        refined = settings("round_") | crf
        chain.append(
            Stage(
                "refined",
                refined,
                Later("trainables.focus.chain:make_refined"),
                after=("pseudo", "s1"),
                shows=("s1_crf",),
            )
        )
        labels = "refined"
    if config.round:
        chain.append(
            Stage(
                "s2",
                segmentation,
                Later("trainables.focus.chain:make_s2"),
                after=("s1", "refined"),
                shows=("s2",),
            )
        )
        last = "s2"
    if config.distill:
        student = segmentation | config.part("student_") | crf
        make = partial(Later("trainables.focus.chain:make_student"), labels=labels, last=last)
        chain.append(Stage("student", student, make, after=(labels, last)))
    return chain


def _classifier_settings(config: FocusConfig) -> dict[str, Any]:
    """Settings that the classifier's weights depend on: its own, and those of its attachments."""
    values = classifier_settings(config)
    for switch in ("clm", "gcm"):
        if getattr(config, switch):
            values |= config.part(switch)
    if config.gcm:
        values |= config.part(names=("recentre",))
    return values
