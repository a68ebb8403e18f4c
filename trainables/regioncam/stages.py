"""The stages of the method, in order, with the settings that each depends on; ``fit.py`` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from trainables.cam.stages import classifier_stages
from trainables.regioncam.config import RegionCamConfig, RegionMapSettings
from trainables.runtime.lazy_import import LazyFunction
from trainables.stages import Stage

__all__ = ["round_name", "stages"]

_COMMON = ("image_size", "channels", "precision", "memory_format")
_CUT = ("threshold", "foreground", "background", "area")
_SHOWING = ("gate_by_score",)  # the maps that are shown beside the labels depend on it
_TRAINING = ("flips", "photometric", "weight_decay", "schedule", "pos_weight", "dice_weight")


def stages(config: RegionCamConfig) -> Sequence[Stage]:
    """The stages of ``config``, in the order in which they are made."""
    # Settings of a part that is off are no part of the key, so changing them leaves the stage as it is.
    crf = config.part("crf") if config.crf else {}
    labels = config.part(names=(*_COMMON, *_CUT, *_SHOWING)) | crf
    learning = config.part("segment_", "round_", names=(*_COMMON, *_TRAINING)) | crf
    maps = RegionMapSettings.of(config)
    shown = (*maps.steps, "pseudo")
    make_maps, make_pseudo = (
        LazyFunction(f"trainables.regioncam.fit:make_{name}") for name in ("maps", "pseudo")
    )
    chain = [
        *classifier_stages(config),
        Stage("maps", maps.model_dump(mode="json"), make_maps, after=("classifier",)),
        Stage("pseudo", labels, make_pseudo, after=("maps",), shows=shown),
    ]
    for number in range(1, config.rounds + 1):
        # Every round has the same settings; what tells them apart is the stage they come after.
        before = chain[-1].name
        make = partial(LazyFunction("trainables.regioncam.fit:make_round"), before=before)
        chain.append(Stage(round_name(number), learning, make, after=(before,), shows=(f"round {number}",)))
    return chain


def round_name(number: int) -> str:
    """The stage of a round, counted from 1."""
    return f"round{number}"
