"""The stages of the chain, in order, with the settings that each depends on; ``fit.py`` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from trainables.cam.config import classifier_settings
from trainables.cam.stages import classifier_stages
from trainables.focus.config import FocusConfig
from trainables.runtime.lazy_import import LazyFunction
from trainables.stages import Stage

__all__ = ["stages"]

_COMMON = ("image_size", "channels", "precision", "memory_format")
_LABELS = ("iem", "threshold", "foreground", "background", "area")
_SEGMENTATION = ("flips", "photometric", "weight_decay", "schedule", "pos_weight", "dice_weight")


def stages(config: FocusConfig) -> Sequence[Stage]:
    """The stages of ``config``, in the order in which they are made."""

    def settings(*prefixes: str, names: Sequence[str] = ()) -> dict[str, Any]:
        return config.part(*prefixes, names=(*_COMMON, *names))

    def add(
        name: str, read: dict[str, Any], after: tuple[str, ...] = (), shows: tuple[str, ...] = ()
    ) -> None:
        chain.append(Stage(name, read, LazyFunction(f"trainables.focus.fit:make_{name}"), after, shows))

    # Each stage names the settings it depends on. One too many would train again for nothing; one too few
    # would share a stage between rows that differ.
    segmentation = settings("segment_", names=_SEGMENTATION)
    crf = config.part("crf") if config.crf else {}

    # A classifier to which nothing is attached is the stage of `cam`, and is shared with it.
    chain = classifier_stages(config)
    if config.clm or config.gcm:
        make = partial(LazyFunction("trainables.focus.fit:make_classifier"), places=config.places)
        chain = [Stage("classifier", settings() | _classifier_settings(config), make)]
    if config.uses_inpainter:
        add("inpainter", settings("inpainter_"))
    iem = config.part("iem") if config.iem != "off" else {"iem": "off"}
    add("maps", settings(names=("recentre",)) | iem, tuple(stage.name for stage in chain))
    add("pseudo", settings(names=_LABELS), ("maps",), config.map_names)
    add("s1", segmentation, ("pseudo",), ("s1",))

    # What comes last depends on the switches, and the student learns from it.
    labels, last = "pseudo", "s1"
    if config.refines:
        add("refined", settings("round_") | crf, ("pseudo", "s1"), ("s1_crf",))
        labels = "refined"
    if config.round:
        add("s2", segmentation, ("s1", "refined"), ("s2",))
        last = "s2"
    if config.distill:
        student = segmentation | config.without_added_later(config.part("student_")) | crf
        make = partial(LazyFunction("trainables.focus.fit:make_student"), labels=labels, last=last)
        chain.append(Stage("student", student, make, after=(labels, last)))
    return chain


def _classifier_settings(config: FocusConfig) -> dict[str, Any]:
    """Return the settings that the classifier's weights depend on: its own, and those of its attachments."""
    values = classifier_settings(config)
    for switch in ("clm", "gcm"):
        if getattr(config, switch):
            values |= config.part(switch)
    if config.gcm:
        values |= config.part(names=("recentre",))
    return values
