"""A dark square on grey steel and a map of it that is too wide: what refinement is for."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["iou", "square"]


def square() -> tuple[Tensor, Tensor, Tensor]:
    """A dark square on noise, and a map that is too large and blurred, as a CAM's."""
    generator = torch.Generator().manual_seed(1)
    truth = torch.zeros(1, 48, 48)
    truth[:, 18:30, 16:32] = 1
    image = 180 - 120 * truth[:, None] + 6 * torch.randn(1, 1, 48, 48, generator=generator)
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    blurred = torch.exp(-((rows - 24) ** 2 + (columns - 24) ** 2) / (2 * 9**2))[None]
    return truth > 0, image, blurred.clamp(0.05, 0.9)


def iou(prob: Tensor, truth: Tensor) -> float:
    found = prob > 0.5
    return float((found & truth).sum() / (found | truth).sum())
