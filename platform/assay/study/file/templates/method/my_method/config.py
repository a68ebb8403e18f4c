"""Settings of the method. Each field has bounds, and a description with its unit (and its source)."""

from __future__ import annotations

from pydantic import Field
from trainables.contract import TrainableConfig

__all__ = ["MyMethodConfig"]


class MyMethodConfig(TrainableConfig, frozen=True, extra="forbid"):
    """Settings that a study may write below ``config``, beside those of every method."""

    epochs: int = Field(20, ge=1, description="Passes over the defective images with a mask.")
    batch_size: int = Field(8, ge=2, description="Images of a step, half of them defective.")
    lr: float = Field(0.003, gt=0, le=1, description="Learning rate of Adam.")
    width: int = Field(16, ge=1, le=512, description="Channels of the first layer.")
