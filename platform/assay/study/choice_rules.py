"""Settings with which a rule cannot pick the images whose masks are read (``{mixed: N, by: …}``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trainables.contract import Objection, Trainable, TrainableConfig
from trainables.data.spec import DataSpec, Supervision
from trainables.pilot import PILOTS

__all__ = ["choice_objections"]


def choice_objections(
    trainable: Trainable[Any], config: TrainableConfig, supervision: Supervision, data: DataSpec
) -> Iterator[Objection]:
    """Reasons why the rule cannot be followed; none for ``random``."""
    rule = supervision.by
    if rule == "random":
        return
    if data.masks == "published":
        yield Objection(
            "data.masks",
            f"`masks: published` lists the images whose masks are read, and `by: {rule}` picks them: leave "
            "one of the two out",
        )
    if data.tiles is not None:
        yield Objection(
            "data.tiles",
            f"a rule picks whole images, found by: {rule} with data.tiles. Use `by: random`, or leave "
            "data.tiles out",
        )
    if not PILOTS[rule]:
        return
    if names := [stage.name for stage in trainable.stages(config)]:
        yield Objection(
            "supervision",
            f"`by: {rule}` trains {trainable.name} as a first model, which has no stages of its own, found "
            f"{', '.join(names)}. Use `by: coverage`, which trains none, or `by: random`",
        )
    for setting, message in trainable.objections(config, supervision.start, data):
        if setting == "supervision":
            yield Objection(setting, f"`by: {rule}` trains a first model with {supervision.start}: {message}")
