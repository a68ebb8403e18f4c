"""Guided cropping and inpainting extension: from image labels to a segmentation net, our reading.

A classifier is trained on image labels, with or without contrast (CLM) and guided crops (GCM). With both it
is the paper's Defect Focus Classifier (DFC). Its map, extended by erasing and inpainting (IEM), becomes
pseudo labels; a segmentation net learns from them; a CRF and an additional round refine them; a student takes
the place of the whole chain.

    trainable: focus
    supervision: weak
    config: {preset: reduced, image_size: [112, 112], distill: true}

Source: Yan, Wu, Yang, Wang 2025, *Robust weakly supervised product surface defect segmentation based on
guided cropping and inpainting extension*, Applied Soft Computing 184, 113661. Only the abstract was at hand:
formulas, nets and settings of the modules are our reading, and their figures are not reproduced here.
"""

from __future__ import annotations

from trainables.contract import Trainable
from trainables.evaluation.metrics import LABEL_FREE_METRICS
from trainables.focus.config import FocusConfig, count_parameters
from trainables.focus.presets import PRESETS, footnotes
from trainables.focus.stages import stages
from trainables.runtime.lazy_import import LazyFunction

__all__ = ["TRAINABLE", "FocusConfig"]

TRAINABLE: Trainable[FocusConfig] = Trainable(
    name="focus",
    revision=4,
    title="Guided cropping and inpainting extension (our reading)",
    source="Yan, Wu, Yang, Wang 2025, Applied Soft Computing 184, 113661; its abstract only, the rest "
    "is our reading",
    Config=FocusConfig,
    presets=PRESETS,
    supervisions=frozenset({"weak"}),
    fit=LazyFunction("trainables.focus.fit:fit"),
    load=LazyFunction("trainables.focus.predictor:load"),
    footnotes=footnotes,
    stages=stages,
    label_free_metrics=frozenset(LABEL_FREE_METRICS),
    parameters=count_parameters,
    reads_validation=lambda config: False,
)
