"""SuperSimpleNet: one model for all kinds of supervision, from normal images alone to all masks.

A frozen trunk describes an image in cells, a small head says which cells are defective, another whether the
image is. Without masks the heads learn from noise that is added to the cells of normal images.

    trainable: supersimple
    supervision: full
    config: {preset: lite_small, image_size: [448, 160], weights_file: lite0.pth, weights_sha256: …}

Source: Rolih, Fučka, Skočaj 2024, ICPR (SuperSimpleNet), and their journal article of 2025, arXiv:2508.19060.
Written from the papers.
"""

from __future__ import annotations

from trainables.contract import Grid, Trainable
from trainables.runtime.lazy_import import LazyFunction
from trainables.supersimple.config import SuperSimpleConfig, count_parameters
from trainables.supersimple.presets import PRESETS, footnotes, objections
from trainables.supersimple.stages import stages

__all__ = ["TRAINABLE", "SuperSimpleConfig"]

TRAINABLE: Trainable[SuperSimpleConfig] = Trainable(
    name="supersimple",
    revision=2,  # 2: without noise a step shows each image once
    title="SuperSimpleNet, from normal images alone to all masks",
    source="Rolih, Fučka, Skočaj 2024, ICPR (SuperSimpleNet); Rolih, Fučka, Skočaj 2025, arXiv:2508.19060 "
    "(its journal article)",
    Config=SuperSimpleConfig,
    presets=PRESETS,
    supervisions=frozenset({"none", "weak", "mixed", "full"}),
    fit=LazyFunction("trainables.supersimple.fit:fit"),
    load=LazyFunction("trainables.supersimple.predictor:load"),
    footnotes=footnotes,
    objections=objections,
    stages=stages,
    parameters=count_parameters,
    reads_validation=lambda config: False,
    # Window 0: a mask that fills no cell keeps its strongest ones, so every mask teaches.
    grid=lambda config: Grid(config.cell, 0, first=(config.cell - 1) / 2),
)
