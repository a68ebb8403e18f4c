"""Inpainting: what an image would look like without what a mask hides.

``Inpainter`` is trained on normal images only, so that it fills any hole with normal texture; that it sees no
others is the caller's job. :func:`telea` needs no training and is what it must beat. Both are called alike,
``fill(images, mask)``, and leave every pixel outside the mask as it was, bit for bit.

    optimiser.zero_grad()
    inpaint_batch(inpainter, images, draw_masks(len(images), size, rng).to(device), batch_size)
    optimiser.step()

Source: the masks in grids and the loss are those of RIAD, Zavrtanik et al. 2021, *Reconstruction by
inpainting for visual anomaly detection*, Pattern Recognition 112. That the network also sees the mask, and
masks in blobs, are ours.
"""

# B images of H × W pixels, S masks of each

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.nn.choices import Norm
from trainables.nn.layers.unet import PlainEncoder, UNet
from trainables.nn.losses.ssim import msgms, ssim

__all__ = [
    "INPAINTING_LOSSES",
    "Inpainter",
    "blob_masks",
    "draw_masks",
    "grid_masks",
    "inpaint_batch",
    "inpainting_losses",
    "reconstruct",
    "telea",
]

INPAINTING_LOSSES = ("loss", "loss_squared", "loss_ssim", "loss_msgms")  # the sum, and its terms

_PARTS = 3  # disjoint masks of a grid: RIAD
_GRID_CELLS = (2, 4, 8, 16)  # pixels: RIAD
_BLOB_CELL = 32  # pixels: what a CAM's cells of 8 to 16 pixels leave after a cut and a dilation
_BLOB_AREAS = (0.01, 0.3)  # share of the image; an erased region ends at 0.4


class Inpainter(nn.Module):
    """A U-Net from an image with a hole, and the hole, to the whole image.

    Args:
        channels: Of the image.
        base: Channels of the first level.
        levels: Halvings.
    """

    def __init__(self, channels: int, base: int = 32, levels: int = 4) -> None:
        super().__init__()
        norm: Norm = "gn"  # RIAD's batch normalisation trains differently with several workers
        encoder = PlainEncoder(channels + 1, base, levels, norm)
        self.unet = UNet(encoder, encoder.widths, norm, outputs=channels)

    def forward(self, images_BCHW: Tensor, mask_BHW: Tensor) -> Tensor:
        """A guess at every pixel of the images (in [0, 1]); what the mask (bool) hides is not read."""
        hidden_B1HW = mask_BHW[:, None]
        shown = images_BCHW.masked_fill(hidden_B1HW, 0)
        return self.unet(torch.cat((shown, hidden_B1HW.to(shown.dtype)), dim=1)).map_BOHW.float()

    @torch.no_grad()
    def fill(self, images_BCHW: Tensor, mask_BHW: Tensor) -> Tensor:
        """The images with guesses, within [0, 1], where the mask (bool) is."""
        guess_BCHW = self(images_BCHW, mask_BHW).clamp(0, 1)
        return torch.where(mask_BHW[:, None], guess_BCHW, images_BCHW)


def telea(images_BCHW: Tensor, mask_BHW: Tensor, radius: int = 3) -> Tensor:
    """The images with holes filled from their borders inwards, in 256 grey levels, by OpenCV.

    Args:
        images_BCHW: In [0, 1], C 1 or 3.
        mask_BHW: What is filled, bool.
        radius: Neighbourhood that a pixel is filled from, pixels.

    Source: Telea 2004, Journal of Graphics Tools 9.
    """
    # OpenCV fills 8-bit images. Outside the hole the original is put back, so nothing there is rounded.
    levels = (images_BCHW * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    holes = mask_BHW.byte().cpu().numpy()
    filled = [
        cv2.inpaint(image, hole, radius, cv2.INPAINT_TELEA).reshape(image.shape)
        for image, hole in zip(levels, holes, strict=True)
    ]
    guess_BHWC = torch.from_numpy(np.stack(filled)).to(images_BCHW) / 255
    return torch.where(mask_BHW[:, None], guess_BHWC.permute(0, 3, 1, 2), images_BCHW)


def grid_masks(count: int, size: tuple[int, int], cell: int, rng: np.random.Generator) -> Tensor:
    """Three masks per image that share its cells of ``cell`` × ``cell`` pixels: 3 × ``count`` × H × W, bool.

    They are disjoint, cover the image and are equally large to within a cell.
    """
    rows, columns = (-(-side // cell) for side in size)
    # Every cell belongs to one of three masks, as evenly as their number allows.
    owner = rng.permuted(np.tile(np.arange(rows * columns) % _PARTS, (count, 1)), axis=1)
    owner = owner.reshape(count, rows, columns).repeat(cell, axis=1).repeat(cell, axis=2)
    parts = np.arange(_PARTS)[:, None, None, None]
    return torch.from_numpy(owner[:, : size[0], : size[1]] == parts)


def blob_masks(count: int, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """A mask per image as a CAM would cut it out: 1 × ``count`` × H × W, bool.

    Noise in cells, enlarged smoothly (bilinearly it would have ridges) and cut where it leaves an area, which
    is drawn evenly on a logarithmic scale.
    """
    cells = rng.standard_normal((count, 1, *(2 + side // _BLOB_CELL for side in size)), dtype=np.float32)
    noise_B1HW = F.interpolate(torch.from_numpy(cells), size=size, mode="bicubic", align_corners=True)
    least, most = _BLOB_AREAS
    shares = torch.from_numpy(np.exp(rng.uniform(math.log(least), math.log(most), count)))
    ranks_BN = noise_B1HW.flatten(1).argsort(dim=1, descending=True).argsort(dim=1)
    chosen_BN = ranks_BN < (shares[:, None] * ranks_BN.shape[1]).ceil()
    return chosen_BN.reshape(1, count, *size)


def draw_masks(count: int, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """Masks of a training step, S × ``count`` × H × W: a grid (S 3, of cells 2 to 16) or blobs (S 1)."""
    kind = int(rng.integers(2 * len(_GRID_CELLS)))  # blobs every second time
    if kind < len(_GRID_CELLS):
        return grid_masks(count, size, _GRID_CELLS[kind], rng)
    return blob_masks(count, size, rng)


def reconstruct(inpainter: Inpainter, images_BCHW: Tensor, masks_SBHW: Tensor) -> Tensor:
    """The images with every hole filled, each from all that its own mask leaves; the masks are disjoint."""
    guesses = inpainter(images_BCHW.repeat(len(masks_SBHW), 1, 1, 1), masks_SBHW.flatten(0, 1))
    guesses_SBCHW = guesses.unflatten(0, masks_SBHW.shape[:2])
    filled_BCHW = (guesses_SBCHW * masks_SBHW[:, :, None]).sum(dim=0)
    return torch.where(masks_SBHW.any(dim=0)[:, None], filled_BCHW, images_BCHW)


def inpainting_losses(filled_BCHW: Tensor, images_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Squared error, ``1 − SSIM`` and ``1 − MSGMS`` of each image: three times B values."""
    squared_B = (filled_BCHW - images_BCHW).square().mean(dim=(1, 2, 3))
    return squared_B, 1 - ssim(filled_BCHW, images_BCHW), 1 - msgms(filled_BCHW, images_BCHW)


def inpaint_batch(
    inpainter: Inpainter, images_BCHW: Tensor, masks_SBHW: Tensor, batch_size: int
) -> dict[str, Tensor]:
    """Add the gradients of a worker's shard of a batch to the network's.

    Args:
        inpainter: In training mode.
        images_BCHW: The shard: normal images in [0, 1].
        masks_SBHW: What is hidden of them (:func:`draw_masks`).
        batch_size: Images of the whole batch, by which the loss is divided: workers' gradients add up.

    Returns:
        Sums over the shard's images by the names of ``INPAINTING_LOSSES``.
    """
    losses_3B = torch.stack(inpainting_losses(reconstruct(inpainter, images_BCHW, masks_SBHW), images_BCHW))
    total_B = losses_3B.new_ones(3) @ losses_3B
    (total_B.sum() / batch_size).backward()
    sums = (total_B.detach().sum(), *losses_3B.detach().sum(dim=1))
    return dict(zip(INPAINTING_LOSSES, sums, strict=True))
