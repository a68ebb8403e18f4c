"""My method: a small segmentation net that learns from masks.

A sentence on the idea, the paper with its arXiv number, and the trade-off taken belong here.
"""

from __future__ import annotations

from trainables.contract import Trainable

from .config import MyMethodConfig
from .fit import fit
from .predictor import load

__all__ = ["TRAINABLE"]

TRAINABLE: Trainable[MyMethodConfig] = Trainable(
    name="my_method",
    revision=1,  # raise it when results change: it is part of every trial's id
    title="My method",
    Config=MyMethodConfig,
    presets={"small": {"image_size": [64, 64], "width": 8}},
    supervisions=frozenset({"mixed", "full"}),  # an image label alone teaches it nothing
    fit=fit,
    load=load,
)
