"""Class-activation maps: a classifier that reads image labels only, and where it looks.

The plain method that everything weakly supervised is measured against: no module but a pooling and a way to
read a map off the net (CAM, Grad-CAM, Grad-CAM++, LayerCAM).

    trainable: cam
    supervision: weak
    config: {preset: small, image_size: [224, 224], method: layer_cam, layers: [1, 2]}

The classifier's size, the offset of its maps and their scale are our reading.
"""

from __future__ import annotations

from trainables.cam.config import CamConfig, ClassifierConfig, count_parameters
from trainables.cam.presets import PRESETS, footnotes
from trainables.cam.stages import REVISION, stages
from trainables.contract import Trainable
from trainables.runtime.lazy_import import LazyFunction

__all__ = ["TRAINABLE", "CamConfig", "ClassifierConfig"]

TRAINABLE: Trainable[CamConfig] = Trainable(
    name="cam",
    revision=REVISION,
    title="Class-activation maps of a classifier",
    source="Zhou et al. 2016, arXiv:1512.04150 (CAM); Selvaraju et al. 2017, arXiv:1610.02391 "
    "(Grad-CAM); Chattopadhay et al. 2018, arXiv:1710.11063 (Grad-CAM++); Jiang et al. 2021, "
    "IEEE TIP 30 (LayerCAM)",
    Config=CamConfig,
    presets=PRESETS,
    supervisions=frozenset({"weak"}),
    fit=LazyFunction("trainables.cam.fit:fit"),
    load=LazyFunction("trainables.cam.predictor:load"),
    footnotes=footnotes,
    stages=stages,
    parameters=count_parameters,
    reads_validation=lambda config: False,
)
