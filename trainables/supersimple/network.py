"""The heads on a frozen trunk: an adaptor, a map of defects, and a decision on the image.

Source: Rolih, Fučka, Skočaj 2024, section 3.
"""

# B images, H × W pixels; C features of h × w cells, D channels of the decision head

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.nn.layers.channels_last import GroupNorm, PointwiseConv
from trainables.nn.layers.initialisation import initialise
from trainables.nn.layers.norm import norm_layer
from trainables.supersimple.config import SuperSimpleConfig
from trainables.supersimple.features import combined, new_trunk, trunk_features

__all__ = ["HeadOutput", "Heads", "SuperSimpleNet", "new_heads"]

_SLOPE = 0.2  # of the leaky ReLU
_SIDE = 5  # of the decision's convolution, cells


class HeadOutput(NamedTuple):
    """Answers of the heads to B images, float32."""

    map_B1hw: Tensor  # logits of a defect in each cell
    score_B: Tensor  # logits of a defect in the image; without a decision head the map's maximum


class Heads(nn.Module):
    """All that is trained; an adaptor comes first, as its rate does."""

    def __init__(self, config: SuperSimpleConfig) -> None:
        super().__init__()
        features, inner = config.features, config.map_width
        self.adaptor = PointwiseConv(features, features) if config.adaptor else None
        self.map_head = nn.Sequential(
            nn.Conv2d(features, inner, 1, bias=False),
            norm_layer(config.head_norm, inner, GroupNorm),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(inner, 1, 1, bias=False),
        )
        self.decision = _Decision(config) if config.decision else None

    def adapted(self, features_BChw: Tensor) -> Tensor:
        """Features as the heads read them, float32; noise is added to them."""
        return features_BChw if self.adaptor is None else self.adaptor(features_BChw).float()

    def forward(self, adapted_BChw: Tensor, *, stop: bool = False) -> HeadOutput:
        """Maps and scores; ``stop`` keeps the score's gradient out of the map."""
        map_B1hw = self.map_head(adapted_BChw).float()
        if self.decision is None:
            return HeadOutput(map_B1hw, map_B1hw.amax(dim=(1, 2, 3)))
        # Under the stop the decision reads the map without changing it, as is published for training
        # without defective images.
        read_B1hw = map_B1hw.detach() if stop else map_B1hw
        return HeadOutput(map_B1hw, self.decision(adapted_BChw, read_B1hw).float())


class _Decision(nn.Module):
    """Maxima and means of the map, and of features that saw it, to one logit."""

    def __init__(self, config: SuperSimpleConfig) -> None:
        super().__init__()
        width = config.decision_width
        self.look = nn.Sequential(
            nn.Conv2d(config.features + 1, width, _SIDE, padding=_SIDE // 2, bias=False),
            norm_layer(config.head_norm, width, GroupNorm),
            nn.ReLU(inplace=True),
        )
        self.last = nn.Linear(2 * width + 2, 1)

    def forward(self, adapted_BChw: Tensor, map_B1hw: Tensor) -> Tensor:
        # Maxima find a small defect, means say how much there is of it; both of the map itself and of the
        # features that saw it.
        seen_BDhw = self.look(torch.cat((adapted_BChw, map_B1hw), dim=1))
        pooled = [x.flatten(2) for x in (seen_BDhw.float(), map_B1hw)]
        numbers = [number for x in pooled for number in (x.amax(dim=2), x.mean(dim=2))]
        return self.last(torch.cat(numbers, dim=1)).squeeze(1)


class SuperSimpleNet(nn.Module):
    """The trunk and its heads, as a model is saved."""

    def __init__(self, config: SuperSimpleConfig, trunk: nn.Module | None = None) -> None:
        """``trunk``: frozen; None: one with arbitrary weights, for a saved model to be read into."""
        super().__init__()
        self.config = config
        self.trunk = new_trunk(config) if trunk is None else trunk
        self.heads = Heads(config)

    def forward(self, images_BCHW: Tensor) -> HeadOutput:
        """Answers to images in [0, 1]; the arithmetic is the caller's."""
        maps = trunk_features(self.trunk, self.config, images_BCHW)
        return self.heads(self.heads.adapted(combined(maps, self.config)))


def new_heads(heads: Heads, seed: int) -> None:
    """Give heads their first weights: those of the adaptor as Glorot and Bengio 2010 (published)."""
    # The adaptor alone is published with an initialisation of its own; the rest has the usual one.
    initialise(heads, seed)
    if heads.adaptor is not None:
        generator = torch.Generator().manual_seed(seed)
        nn.init.xavier_normal_(heads.adaptor.weight, generator=generator)
