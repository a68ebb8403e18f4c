"""First layers of a network: from images in [0, 1] to what the convolutions see.

They are part of the model, so that a saved model needs no statistics beside it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from trainables.data.samples import ImageSet
from trainables.nn.layers.blur import gaussian_blur
from trainables.nn.settings import BackboneConfig

__all__ = ["LocalContrast", "Standardise", "input_layer"]

_FLAT = 1 / 255  # smallest spread that is divided by: one grey level


class Standardise(nn.Module):
    """``(x − mean) / std`` per channel, with the statistics of the training split."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))

    def measure(self, images: ImageSet) -> None:
        """Take mean and standard deviation over all pixels of ``images`` (uint8, scaled to [0, 1]).

        Sums are integers: the result does not depend on the order of the images or on the machine.
        """
        channels = self.mean.shape[1]
        # Of 8-bit images a histogram holds all, and its sums are exact.
        histogram = np.zeros((channels, 256), np.int64)
        for sample in images:
            for channel in range(channels):
                histogram[channel] += np.bincount(sample.image[..., channel].ravel(), minlength=256)
        levels = np.arange(256)
        pixels = histogram[0].sum()
        mean = histogram @ levels / pixels
        std = np.sqrt(np.maximum(histogram @ levels**2 / pixels - mean**2, 0))
        self.mean.copy_(torch.from_numpy(mean / 255).reshape(1, -1, 1, 1))
        self.std.copy_(torch.from_numpy(np.maximum(std / 255, _FLAT)).reshape(1, -1, 1, 1))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return (images_BCHW - self.mean) / self.std


class LocalContrast(nn.Module):
    """``clip((x − G_σ ∗ x) / rms, ±6) / 2``: what differs from its surroundings, in units of the texture.

    The root mean square is taken over the image's own difference, so exposure and slow shading are gone. On
    cracks and blowholes in magnetic tiles this input, not the plain one, gave the sharper class-activation
    maps (pixel AP 0.42 instead of 0.30), at some cost of image AP (0.82 instead of 0.92).

    Args:
        sigma: Standard deviation of the Gaussian, pixels.
        unit: Bring it from [−3, 3] to [0, 1], where published networks expect an image.
    """

    def __init__(self, sigma: float, *, unit: bool = False) -> None:
        super().__init__()
        self.sigma = sigma
        self.unit = unit

    def forward(self, images_BCHW: Tensor) -> Tensor:
        difference = images_BCHW - gaussian_blur(images_BCHW, self.sigma)
        # In units of the image's own contrast; a flat image has next to none, and a grey level is the least
        # that is divided by.
        rms = difference.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        contrast = (difference / rms.clamp_min(_FLAT)).clamp(-6, 6) / 2
        return contrast / 6 + 0.5 if self.unit else contrast


def input_layer(config: BackboneConfig) -> Standardise | LocalContrast:
    """A network's first layer; ``Standardise`` has yet to measure the training split."""
    if config.input == "local_contrast":
        return LocalContrast(config.contrast_sigma)
    return Standardise(config.channels)
