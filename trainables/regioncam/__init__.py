"""Region-aware CAM: maps from filtered gradients, weighed by regions, refined in rounds; our reading.

A classifier is trained on image labels. Its map is read off by gradients that a filter lets pass (FGBP), and
perhaps weighed by regions; pseudo labels are cut from it, and a segmentation net learns from them, whose
answers are the labels of the next round.

    trainable: regioncam
    supervision: weak
    config: {preset: small, image_size: [112, 112], rounds: 2}

Source: Dong, Zou, Liu, Ye, Liu 2025, *Region-Aware CAM: High-Resolution Weakly-Supervised Defect Segmentation
via Salient Region Perception*, arXiv:2506.22866. Only the abstract was at hand: formulas, nets and settings
are our reading, and its figures are not reproduced here.
"""

from __future__ import annotations

from trainables.contract import Trainable
from trainables.evaluation.metrics import LABEL_FREE_METRICS
from trainables.regioncam.config import RegionCamConfig, count_parameters
from trainables.regioncam.presets import PRESETS, footnotes
from trainables.regioncam.stages import stages
from trainables.runtime.lazy_import import LazyFunction

__all__ = ["TRAINABLE", "RegionCamConfig"]

TRAINABLE: Trainable[RegionCamConfig] = Trainable(
    name="regioncam",
    revision=3,
    title="Region-aware CAM (our reading)",
    source="Dong, Zou, Liu, Ye, Liu 2025, arXiv:2506.22866; its abstract only, the rest is our reading",
    Config=RegionCamConfig,
    presets=PRESETS,
    supervisions=frozenset({"weak"}),
    fit=LazyFunction("trainables.regioncam.fit:fit"),
    load=LazyFunction("trainables.regioncam.predictor:load"),
    footnotes=footnotes,
    stages=stages,
    label_free_metrics=frozenset(LABEL_FREE_METRICS),
    parameters=count_parameters,
    reads_validation=lambda config: False,
)
