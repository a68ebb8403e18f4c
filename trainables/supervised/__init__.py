"""Supervised baselines: a plain classifier, and a U-Net on true masks with an image head.

Every weakly supervised method is measured against them: the classifier is what image labels give without
any further idea (its heatmap is the class-activation map), the U-Net what all masks give.

    trainable: supervised
    config: {preset: classifier_small, image_size: [128, 128]}
"""

from __future__ import annotations

from trainables.contract import Grid, Trainable
from trainables.runtime.lazy_import import LazyFunction
from trainables.supervised.config import SupervisedConfig, count_parameters
from trainables.supervised.presets import PRESETS, footnotes, needs_normal, objections

__all__ = ["TRAINABLE", "SupervisedConfig"]

TRAINABLE: Trainable[SupervisedConfig] = Trainable(
    name="supervised",
    revision=4,
    title="Supervised baselines: classifier and U-Net",
    source="He et al. 2016, arXiv:1512.03385 (layout); Zhou et al. 2016, arXiv:1512.04150 "
    "(class-activation map); Ronneberger et al. 2015, arXiv:1505.04597 (U-Net)",
    Config=SupervisedConfig,
    presets=PRESETS,
    supervisions=frozenset({"weak", "mixed", "full"}),
    fit=LazyFunction("trainables.supervised.fit:fit"),
    load=LazyFunction("trainables.supervised.predictor:load"),
    footnotes=footnotes,
    objections=objections,
    needs_normal=needs_normal,
    parameters=count_parameters,
    reads_validation=lambda config: False,
    # The classifier's maps have the cells of its last stage, the U-Net's are as large as the image.
    grid=lambda config: Grid(config.resnet.output_stride, 0) if config.model == "classifier" else Grid(),
)
