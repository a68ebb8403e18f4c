"""Initial weights that two networks of one repeat share where they are alike: common random numbers."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import nn

__all__ = ["drawn_seed", "initialise", "named_generator"]


def initialise(network: nn.Module, seed: int) -> None:
    """Set initial weights: He normal (fan out) before a ReLU, uniform ± 1/√fan-in in heads; norms stay.

    A head is a linear layer, a convolution with one output channel, or a 1 × 1 convolution with a bias (which
    no normalisation follows). Each tensor has random numbers of its own, drawn from ``seed`` and its name:
    networks that differ in one layer start equal in all others. They are drawn on the CPU, wherever the
    network lies.

    Source: He et al. 2015, arXiv:1502.01852, Eq. 10, as torchvision's ResNet is initialised.
    """
    for name, module in network.named_modules():
        if not isinstance(module, (nn.Conv2d, nn.Linear)):
            continue
        # Drawn on the CPU by name: neither device nor other layers change a weight.
        generator = named_generator(seed, name)
        with torch.no_grad():
            weight = torch.empty_like(module.weight, device="cpu")  # in the layout of the weight
            if _is_head(module):
                bound = 1 / math.sqrt(weight[0].numel())
                weight.uniform_(-bound, bound, generator=generator)
            else:
                nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu", generator=generator)
            module.weight.copy_(weight)
            if module.bias is not None:
                module.bias.zero_()


def drawn_seed(rng: np.random.Generator) -> int:
    """A seed of first weights, from a run's random numbers for them."""
    return int(rng.integers(2**63))


def named_generator(seed: int, name: str) -> torch.Generator:
    """Random numbers of the weights of this name."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))


def _is_head(module: nn.Conv2d | nn.Linear) -> bool:
    if isinstance(module, nn.Linear) or module.out_channels == 1:
        return True
    return module.kernel_size == (1, 1) and module.bias is not None
