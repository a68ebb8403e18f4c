"""A trainable of a third party, found by entry point: one weight, a chosen pace, and ways to misbehave.

It really trains (`training.py`), so its weights tell whether a resumed trial went the same way; but an epoch
costs what ``seconds`` says, and nothing any more once the file ``slow`` is gone: a test that has seen what it
waited for need not wait for the rest. Its declaration loads no torch, as those of the methods do not.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from trainables.contract import Trainable, TrainableConfig
from trainables.runtime.lazy_import import LazyFunction

__all__ = ["TRAINABLE", "ToyConfig"]


class ToyConfig(TrainableConfig, frozen=True, extra="forbid"):
    """Settings of the toy."""

    added_later: ClassVar[frozenset[str]] = frozenset({"holds", "slow"})

    image_size: tuple[int, int] = Field((32, 32), description="Input height and width, pixels.")
    epochs: int = Field(3, ge=1, description="Passes over the training set.")
    seconds: float = Field(0.0, ge=0, description="Length of an epoch, seconds.")
    lr: float = Field(0.1, gt=0, description="Learning rate.")
    slope: float = Field(8.0, description="Steepness of the score.")
    batch_size: int = Field(4, ge=1, description="Images per step.")
    shape: Literal["round", "flat"] = Field("round", description="Whether y counts, or x alone.")
    x: float = Field(0.3, ge=0, le=1, description="Best at 0.3: the further away, the more noise.")
    y: float = Field(0.7, ge=0, le=1, description="Best at 0.7, for shape: round.")
    fault: Literal["none", "diverge", "raise", "die", "gpu_memory", "gpu_memory_once"] = Field(
        "none", description="What goes wrong; once: unless it is resumed."
    )
    holds: int = Field(0, ge=0, description="Images that memory holds in a prediction; 0: any number.")
    slow: str = Field("", description="A file: once it is removed, epochs take no time.")


TRAINABLE = Trainable(
    name="toy",
    revision=1,
    title="A toy of the tests",
    Config=ToyConfig,
    presets={},
    supervisions=frozenset({"none", "weak", "mixed", "full"}),
    fit=LazyFunction("assay_toy.training:fit"),
    load=LazyFunction("assay_toy.training:load"),
)
