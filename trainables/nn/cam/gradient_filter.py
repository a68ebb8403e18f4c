"""The rule of what passes a ReLU of a gradient, which settings become, and its arithmetic.

It stands apart from the layers that :mod:`trainables.nn.cam.guided` filters, so that a study is planned
without torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["FilterBy", "FilterMode", "GradientFilter", "GradientSign"]

FilterBy = Literal["gradient", "activation_x_gradient"]
FilterMode = Literal["quantile", "share_of_max"]
GradientSign = Literal["positive", "negative"]


@dataclass(frozen=True)
class GradientFilter:
    """Rule of what passes a ReLU of a gradient."""

    guided: bool = True  # only the gradients of ``sign``
    q: float = 0.5  # in [0, 1): the quantile below which gradients are dropped, or a share of the largest
    by: FilterBy = "gradient"  # what is compared: |g₁|, or |a · g₁| as in RectGrad
    mode: FilterMode = "quantile"
    sign: GradientSign = "positive"  # negative: "truncating the positive gradient", arXiv:2308.02118

    def __post_init__(self) -> None:
        assert 0 <= self.q < 1

    def passed(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """The gradient at a ReLU's input, from its output and the gradient there; images come first."""
        import torch

        passed = torch.where(activation > 0, gradient, 0)
        if self.guided:
            passed = passed.clamp(min=0) if self.sign == "positive" else passed.clamp(max=0)
        if self.q == 0:
            return passed
        compared = passed * activation if self.by == "activation_x_gradient" else passed
        size_BN = compared.abs().flatten(1)
        if self.mode == "quantile":
            start_B = _nonzero_quantile(size_BN, self.q)
        else:
            start_B = self.q * size_BN.amax(dim=1)
        return torch.where((size_BN >= start_B[:, None]).reshape(passed.shape), passed, 0)


def _nonzero_quantile(size_BN: Tensor, q: float) -> Tensor:
    """The q-quantile (the lower value, where it lies between two) of what is not 0 in each row; 0 if all is.

    By selection, row by row: on a core a fourth of the time of sorting the batch.
    """
    import torch

    quantiles: list[Tensor] = []
    for size_N in size_BN:
        some = size_N[size_N > 0]
        place = 1 + int(q * (len(some) - 1))
        quantiles.append(some.kthvalue(place).values if len(some) else size_N.new_zeros(()))
    return torch.stack(quantiles)
