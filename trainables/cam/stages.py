"""The stages of the method: a classifier, which all maps share, and what its maps need; without torch.

Cells of a study that differ in how the map is read train one classifier for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from trainables.cam.config import CamConfig, ClassifierConfig, MapSettings, classifier_settings
from trainables.runtime.lazy_import import LazyFunction
from trainables.stages import Stage

__all__ = ["REVISION", "classifier_stage", "stages"]

REVISION = 1  # raised when results change


def classifier_stage(config: ClassifierConfig) -> Stage:
    """A classifier to which nothing is attached: one step, whichever method reads maps off it."""
    make = partial(LazyFunction("trainables.cam.fit:make_classifier"), places=config.places)
    owner = {"trainable": "cam", "revision": REVISION}
    return Stage("classifier", classifier_settings(config), make, owner=owner)


def stages(config: CamConfig) -> Sequence[Stage]:
    """The classifier, then offsets and scales of its maps."""
    settings = MapSettings.of(config).model_dump(mode="json")
    maps = Stage("maps", settings, LazyFunction("trainables.cam.fit:make_maps"), after=("classifier",))
    return [classifier_stage(config), maps]
