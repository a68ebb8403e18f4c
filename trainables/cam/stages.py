"""The stages of the method: a classifier, which all maps share, and what its maps need; without torch.

Cells of a study that differ in how the map is read train one classifier for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from trainables.cam.config import CamConfig, ClassifierConfig, MapSettings, classifier_settings
from trainables.nn.trunk.stages import trunk_stages
from trainables.runtime.lazy_import import LazyFunction
from trainables.stages import Stage

__all__ = ["REVISION", "classifier_stages", "stages"]

REVISION = 1  # raised when results change


def classifier_stages(config: ClassifierConfig) -> list[Stage]:
    """A classifier to which nothing is attached: one step, whichever method reads maps off it.

    Before it come the maps of a trunk's file, where training shows every image unchanged or flipped.
    """
    file = config.trunk_file
    before = trunk_stages(file, config.flips) if file is not None and config.keeps_maps else []
    make = partial(LazyFunction("trainables.cam.fit:make_classifier"), places=config.places)
    owner = {"trainable": "cam", "revision": REVISION}
    after = tuple(stage.name for stage in before)
    return [*before, Stage("classifier", classifier_settings(config), make, after=after, owner=owner)]


def stages(config: CamConfig) -> Sequence[Stage]:
    """The classifier, then offsets and scales of its maps."""
    settings = MapSettings.of(config).model_dump(mode="json")
    maps = Stage("maps", settings, LazyFunction("trainables.cam.fit:make_maps"), after=("classifier",))
    return [*classifier_stages(config), maps]
