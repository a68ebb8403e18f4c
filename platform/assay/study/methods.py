"""Which method a cell trains with, and what is left of the base's `config` where that is another one.

The base and each level may name a trainable. Settings of one method mean nothing to another: where a level
names another method than the base, what every method has (:data:`SHARED`) is taken over, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from assay.study.nesting import NO_LEVEL
from assay.study.schema import Level, Study
from assay.study.source import KeyPath, StudyProblem
from trainables.contract import TrainableConfig

__all__ = [
    "SHARED",
    "Layer",
    "is_own_setting",
    "layers_of",
    "method_problems",
    "methods_of",
    "shared_settings",
]

SHARED = tuple(TrainableConfig.model_fields)  # settings that every method has
Layer = tuple[KeyPath, Level]  # settings, and their place in the file


def layers_of(study: Study, levels: Mapping[str, str], override: Layer | None = None) -> list[Layer]:
    """What a cell's settings are made of, from the bottom up: the base, its levels, its row's own."""
    data = study.data.model_dump(mode="json", exclude_unset=True)
    base: Layer = ((), Level(trainable=study.trainable, config=study.config, data=data))
    return [base, *_chosen(study, levels), *([override] if override else [])]


def methods_of(
    study: Study, levels: Mapping[str, str], override: Layer | None = None
) -> list[tuple[str, KeyPath]]:
    """The methods that a cell's layers name, from the bottom up, and where; the last one is trained."""
    layers: list[Layer] = [((), Level(trainable=study.trainable)), *_chosen(study, levels)]
    if override:
        layers.append(override)
    return [(layer.trainable, (*at, "trainable")) for at, layer in layers if layer.trainable is not None]


def is_own_setting(path: str) -> bool:
    """Whether a setting (``config.lr``) is one that other methods need not have."""
    part, _, setting = path.partition(".")
    return part == "config" and setting.partition(".")[0] not in SHARED


def method_problems(study: Study) -> Iterator[StudyProblem]:
    """A study that names no method at all, or settings of a method in the base where levels name it."""
    if study.trainable is not None:
        return
    rows = study.design.rows or () if study.design else ()
    layers = [level for levels in study.factors.values() for level in levels.values()]
    if not any(layer.trainable for layer in (*layers, *(row.override for row in rows if row.override))):
        message = "the key `trainable` is missing: name the method here, or in a level of every cell"
        yield StudyProblem(("trainable",), message)
        return
    for key in (key for key in study.config if key not in SHARED):
        message = (
            f"without a `trainable` beside it, `config` holds what every method has, {', '.join(SHARED)}; "
            f"found `{key}`. Set it where a level names the method"
        )
        yield StudyProblem(("config", key), message)


def shared_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What another method takes over of a `config`."""
    return {key: value for key, value in config.items() if key in SHARED}


def _chosen(study: Study, levels: Mapping[str, str]) -> Iterator[Layer]:
    for factor, level in levels.items():
        if level != NO_LEVEL:
            yield ("factors", factor, level), study.factors[factor][level]
