"""DINOv2's ViT-S/14: a transformer over patches of 14 × 14 pixels, 22.1 million weights.

It learned from photographs without labels, and says of each patch what it is and where, in 384 numbers. Names
of weights are those of the published state dicts, ``dinov2_vits14_pretrain.pth`` and, with four tokens that
no patch stands for, ``dinov2_vits14_reg4_pretrain.pth``.

Trade-off: images are brought to whole patches, so a side changes by up to 7 pixels. Cutting them off, or
filling up with grey, would leave a rim that nothing is said of.

Sources: Dosovitskiy et al. 2021, arXiv:2010.11929 (ViT); Oquab et al. 2023, arXiv:2304.07193 (DINOv2); Darcet
et al. 2023, arXiv:2309.16588 (registers).
"""

# B images, h × w patches, N tokens, D numbers of a token

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.nn.choices import PATCH, cells_along

__all__ = ["DinoV2"]

_WIDTH, _HEADS, _BLOCKS = 384, 6, 12
_REGISTERS = 4
_SIDE = 37  # patches along the images of 518 pixels whose places were learned
_OFFSET = 0.1  # of a patch: published without registers, where places are read off at other sizes
_EPSILON = 1e-6  # of layer normalisation


class DinoV2(nn.Module):
    """All blocks of the network; of its training objectives nothing."""

    def __init__(self, *, registers: bool = False) -> None:
        """``registers``: with four further tokens, which keep notes off the patches."""
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, _WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + _SIDE**2, _WIDTH))
        self.register_tokens = nn.Parameter(torch.zeros(1, _REGISTERS, _WIDTH)) if registers else None
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, _WIDTH, PATCH, stride=PATCH)})
        self.blocks = nn.Sequential(*(Block(_WIDTH, _HEADS) for _ in range(_BLOCKS)))
        self.norm = nn.LayerNorm(_WIDTH, eps=_EPSILON)

    def forward(self, images_BCHW: Tensor) -> dict[int, Tensor]:
        """The map of the patches, by its stride, of standardised images of any size: B × 384 × h × w."""
        # Every pixel must lie in a whole patch.
        height, width = images_BCHW.shape[2:]
        cells = cells_along(height, PATCH), cells_along(width, PATCH)
        size = cells[0] * PATCH, cells[1] * PATCH
        if (height, width) != size:
            images_BCHW = F.interpolate(images_BCHW, size, mode="bilinear", align_corners=False)
        patches_BND = self.patch_embed["proj"](images_BCHW).flatten(2).transpose(1, 2)
        count, patches, _ = patches_BND.shape  # len() would fix the batch of an exported graph
        first_11D = self.cls_token + self.pos_embed[:, :1]
        # Order as published: the image's token, the registers, then the patches. Only the patches are read
        # in the end.
        tokens = [first_11D.expand(count, -1, -1), patches_BND + self.places(cells)]
        if self.register_tokens is not None:  # they have no place
            tokens.insert(1, self.register_tokens.expand(count, -1, -1))
        described_BND = self.norm(self.blocks(torch.cat(tokens, dim=1)))[:, -patches:]
        return {PATCH: described_BND.transpose(1, 2).unflatten(2, cells)}

    def places(self, cells: tuple[int, int]) -> Tensor:
        """Learned places, which are added to h × w patches, interpolated to these: 1 × N × D."""
        places_1Dhw = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (_SIDE, _SIDE))
        # The two published networks interpolate their places in two ways, and each must get its own back to
        # the last digits.
        if cells == (_SIDE, _SIDE):
            pass
        elif self.register_tokens is None:
            down, across = ((count + _OFFSET) / _SIDE for count in cells)
            places_1Dhw = F.interpolate(places_1Dhw, scale_factor=(down, across), mode="bicubic")
        else:
            places_1Dhw = F.interpolate(places_1Dhw, cells, mode="bicubic", antialias=True)
        return places_1Dhw.flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Attention, then two layers on each token; what each adds is scaled by weights of its own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPSILON)
        self.attn = _Attention(width, heads)
        self.ls1 = _Scale(width)
        self.norm2 = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.ls2 = _Scale(width)

    def forward(self, x_BND: Tensor) -> Tensor:
        x_BND = x_BND + self.ls1(self.attn(self.norm1(x_BND)))
        inner = F.gelu(self.mlp["fc1"](self.norm2(x_BND)))
        return x_BND + self.ls2(self.mlp["fc2"](inner))


class _Attention(nn.Module):
    """Every token reads every other, by several heads at once."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BND: Tensor) -> Tensor:
        parts = self.qkv(x_BND).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        read = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        return self.proj(read.transpose(1, 2).flatten(2))


class _Scale(nn.Module):
    """A factor for each number of a token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x_BND: Tensor) -> Tensor:
        return x_BND * self.gamma
