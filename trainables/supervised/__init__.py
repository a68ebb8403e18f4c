"""Supervised baselines: a plain classifier, and a U-Net on true masks with an image head.

Every weakly supervised method is measured against them: the classifier is what image labels give without
any further idea (its heatmap is the class-activation map), the U-Net what all masks give.

    trainable: supervised
    config: {preset: classifier_small, image_size: [128, 128]}

Sources: He et al. 2016, arXiv:1512.03385 (layout); Zhou et al. 2016, arXiv:1512.04150 (class-activation map);
Ronneberger et al. 2015, arXiv:1505.04597 (U-Net).
"""

from __future__ import annotations

from trainables.contract import Grid, Trainable
from trainables.supervised.config import SupervisedConfig
from trainables.supervised.fit import fit
from trainables.supervised.network import count_parameters
from trainables.supervised.predictor import SupervisedPredictor, load
from trainables.supervised.presets import PRESETS, footnotes, needs_normal, objections

__all__ = ["TRAINABLE", "SupervisedConfig", "SupervisedPredictor", "fit", "load"]

TRAINABLE: Trainable[SupervisedConfig] = Trainable(
    name="supervised",
    revision=3,
    title="Supervised baselines: classifier and U-Net",
    source="He et al. 2016, arXiv:1512.03385 (layout); Zhou et al. 2016, arXiv:1512.04150 "
    "(class-activation map); Ronneberger et al. 2015, arXiv:1505.04597 (U-Net)",
    Config=SupervisedConfig,
    presets=PRESETS,
    supervisions=frozenset({"weak", "mixed", "full"}),
    fit=fit,
    load=load,
    footnotes=footnotes,
    objections=objections,
    needs_normal=needs_normal,
    parameters=count_parameters,
    # The classifier's maps have the cells of its last stage, the U-Net's are as large as the image.
    grid=lambda config: Grid(config.resnet.output_stride, 0) if config.model == "classifier" else Grid(),
)
