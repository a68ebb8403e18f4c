"""From decoded images to the tensor a network reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["bytes_to_images", "images_to_tensor"]


def images_to_tensor(images: Sequence[NDArray[np.uint8]], device: torch.device) -> Tensor:
    """Stack H × W × C uint8 images of one size into B × C × H × W float32 in [0, 1] on ``device``.

    The bytes travel to the device and become floats there: a quarter of the traffic.
    """
    return bytes_to_images(torch.from_numpy(np.stack(images)).to(device))


def bytes_to_images(images_BHWC: Tensor, layout: torch.memory_format = torch.contiguous_format) -> Tensor:
    """Bring uint8 images to B × C × H × W float32 in [0, 1], in a memory format."""
    return images_BHWC.permute(0, 3, 1, 2).contiguous(memory_format=layout).float().div_(255)
