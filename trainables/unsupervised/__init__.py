"""Unsupervised baselines: f-AnoGAN and Uninformed Students, trained on normal images only.

What can be said of defects without having seen one: the first rung of every ladder of labels. One trainable
with two models, so that a study can compare them with each other.

    trainable: unsupervised
    supervision: none
    config: {preset: students_small, image_size: [128, 128]}
"""

from __future__ import annotations

from trainables.contract import Trainable
from trainables.runtime.lazy_import import LazyFunction
from trainables.unsupervised.config import UnsupervisedConfig, count_parameters
from trainables.unsupervised.presets import PRESETS, footnotes
from trainables.unsupervised.stages import stages

__all__ = ["TRAINABLE", "UnsupervisedConfig"]

TRAINABLE: Trainable[UnsupervisedConfig] = Trainable(
    name="unsupervised",
    revision=2,
    title="Unsupervised baselines: f-AnoGAN and Uninformed Students",
    source="Schlegl et al. 2019, Medical Image Analysis 54 (f-AnoGAN); Bergmann et al. 2020, "
    "arXiv:1911.02357 (Uninformed Students); Božič et al. 2021, arXiv:2104.06064 (2021: patches "
    "and scores of their comparison)",
    Config=UnsupervisedConfig,
    presets=PRESETS,
    supervisions=frozenset({"none"}),
    fit=LazyFunction("trainables.unsupervised.fit:fit"),
    load=LazyFunction("trainables.unsupervised.predictor:load"),
    footnotes=footnotes,
    stages=stages,
    parameters=count_parameters,
    batch_norms=lambda config: ["gan_norm"] if (config.model, config.gan_norm) == ("f_anogan", "bn") else [],
)
