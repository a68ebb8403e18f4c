"""The networks of teachers and students: a descriptor of a patch, or of the patch around every pixel.

A stack of convolutions without padding sees a patch of p pixels and leaves one descriptor. Run over a whole
image it would leave one every few pixels, because max-pooling halves. :meth:`PatchNet.dense` takes the stride
out of the pooling and puts holes into all that comes after (dilation) instead: the same numbers as cutting
out the patch around every pixel, without computing what neighbours share again. Where descriptors every 2, 4
or 8 pixels are enough, the first poolings keep their stride.

Layers of size 17, 33 and 65 as published; with pooling that drops borders they see 17, 32 and 60 pixels.

Source: Bergmann et al. 2020, arXiv:1911.02357; Bailer et al. 2018, arXiv:1805.03096
(dense extraction).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.nn.layers.pooling import halve
from trainables.unsupervised.config import PATCH_LAYERS, Scale, receptive_field

__all__ = ["PatchNet"]


_SLOPE = 5e-3  # of LeakyReLU


class PatchNet(nn.Module):
    """A descriptor of d dimensions per patch."""

    def __init__(self, scale: Scale, channels: int, width: int, descriptor: int) -> None:
        super().__init__()
        self.field = receptive_field(scale)
        # The layer table has None where a pooling follows; 0 channels stand for the descriptor's.
        convolutions: list[nn.Conv2d] = []
        self._pools: list[bool] = []  # whether a pooling follows, per convolution
        for layer in PATCH_LAYERS[scale]:
            if layer is None:
                self._pools[-1] = True
                continue
            side, units = layer
            outputs = units * width or descriptor
            convolutions.append(nn.Conv2d(channels, outputs, side))
            self._pools.append(False)
            channels = outputs
        self.convolutions = nn.ModuleList(convolutions)

    def forward(self, patches_NCPP: Tensor) -> Tensor:
        """Descriptors N × d of patches whose side is ``field``."""
        return self._run(patches_NCPP, self.field)[:, :, 0, 0]

    def dense(self, images_BCHW: Tensor, stride: int = 1) -> Tensor:
        """Descriptors of the patches around every ``stride``-th pixel: B × d × ⌈H / stride⌉ × ⌈W / stride⌉.

        Cell (i, j) looks at the patch that starts (field − 1) // 2 pixels before pixel (stride · i, stride ·
        j), beyond the border at a mirrored image; sides are at least half of ``field``.

        Args:
            images_BCHW: Images.
            stride: 1, 2, 4 or 8.
        """
        before = (self.field - 1) // 2
        after = self.field - 1 - before
        padded = F.pad(images_BCHW, (before, after, before, after), mode="reflect")
        return self._run(padded, stride)

    def _run(self, x_BCHW: Tensor, stride: int) -> Tensor:
        reached = dilation = 1  # strides so far: those that were kept, and those that became holes
        last = len(self.convolutions) - 1
        for index, (convolution, pools) in enumerate(zip(self.convolutions, self._pools, strict=True)):
            assert isinstance(convolution, nn.Conv2d)
            # What stride the poolings left is taken by the last layer, so that no descriptor is computed
            # that nobody reads.
            step = stride // reached if index == last else 1
            x_BCHW = F.conv2d(x_BCHW, convolution.weight, convolution.bias, stride=step, dilation=dilation)
            if index < last:
                x_BCHW = F.leaky_relu(x_BCHW, _SLOPE)
            # A pooling keeps its stride while the wanted one is not reached; from there on it looks at
            # every pixel, and all later layers look through holes twice as wide.
            if pools and 2 * reached <= stride:
                x_BCHW, reached = halve(x_BCHW), 2 * reached
            elif pools:
                x_BCHW = F.max_pool2d(x_BCHW, 2, stride=1, dilation=dilation)
                dilation *= 2
        return x_BCHW
