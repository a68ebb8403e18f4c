"""The gradient penalty of a Wasserstein critic: its slope between real and made images shall be 1."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["gradient_penalty"]


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real_NCHW: Tensor, made_NCHW: Tensor, mix_N: Tensor
) -> Tensor:
    """``(|∇ critic(x̃)| − 1)²`` of each image, at ``x̃ = real + mix · (made − real)``.

    Args:
        critic: From images to N numbers; each must depend on its own image only.
        real_NCHW: Images.
        made_NCHW: As many.
        mix_N: Where between them, in [0, 1].

    Returns:
        N numbers that can be differentiated once more.

    Source: Gulrajani et al. 2017, arXiv:1704.00028, Eq. 3.
    """
    between = real_NCHW + mix_N[:, None, None, None] * (made_NCHW - real_NCHW)
    between = between.detach().requires_grad_()
    (slope_NCHW,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope_NCHW.flatten(1).norm(dim=1) - 1).square()
