"""The layers: a chain of convolutions that says of each cell of 4 × 4 pixels how likely it is defective."""

from __future__ import annotations

from torch import Tensor, nn
from trainables.nn.layers.inputs import LocalContrast

__all__ = ["STRIDE", "Network"]

STRIDE = 4  # pixels of a cell's side


class Network(nn.Module):
    """B × C × H × W images to B × 1 × H/4 × W/4 logits.

    It has no batch normalisation, which takes statistics over a worker's own images: several workers would
    train another model than one. With one worker it may have it, in evaluation mode whenever it is asked.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.contrast = LocalContrast(sigma=8.0)  # exposure and slow shading are gone
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv2d(2 * width, 1, 1),
        )

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Take images in [0, 1], give logits."""
        return self.layers(self.contrast(images_BCHW))
