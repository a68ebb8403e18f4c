"""A toy in three stages: a base that trials share, maps that read it, and a last step of each trial's own.

Its maps also leave pseudo labels of the defective training images, and its model shows the steps on its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from trainables.contract import Trainable, TrainableConfig
from trainables.runtime.lazy_import import LazyFunction
from trainables.stages import Stage

__all__ = ["SHOWN", "TRAINABLE", "StagedConfig", "stages"]

SHOWN = ("cam", "crop")  # of the maps, by every trial that uses them


class StagedConfig(TrainableConfig, frozen=True, extra="forbid"):
    """Settings of the staged toy."""

    added_later: ClassVar[frozenset[str]] = frozenset({"slow"})

    image_size: tuple[int, int] = Field((32, 32), description="Input height and width, pixels.")
    epochs: int = Field(3, ge=1, description="Epochs of the base.")
    seconds: float = Field(0.0, ge=0, description="Length of an epoch of the base, seconds.")
    slow: str = Field("", description="A file: once it is removed, epochs of the base take no time.")
    base: float = Field(0.5, description="Where the base starts.")
    sharpen: bool = Field(False, description="Whether maps are sharpened.")
    last: float = Field(0.0, description="What the last step adds.")
    fault: Literal["none", "diverge", "die"] = Field("none", description="What goes wrong in the base.")


def stages(config: StagedConfig) -> Sequence[Stage]:
    """Base, then maps."""
    base = config.model_dump(mode="json", include={"epochs", "seconds", "slow", "base", "fault"})
    return [
        Stage("base", base, LazyFunction("assay_toy.staged_training:make_base")),
        Stage(
            "maps",
            {"sharpen": config.sharpen},
            LazyFunction("assay_toy.staged_training:make_maps"),
            after=("base",),
            shows=SHOWN,
        ),
    ]


TRAINABLE = Trainable(
    name="staged",
    revision=1,
    title="A toy in stages",
    Config=StagedConfig,
    presets={},
    supervisions=frozenset({"weak"}),
    fit=LazyFunction("assay_toy.staged_training:fit"),
    load=LazyFunction("assay_toy.staged_training:load"),
    stages=stages,
)
