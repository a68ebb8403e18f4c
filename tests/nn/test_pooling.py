"""The largest of each 2 × 2 pixels is that of torch's pooling, with its gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.nn.layers.pooling import halve


def _maps(height: int, width: int, layout: torch.memory_format, dtype: torch.dtype) -> Tensor:
    """Maps with equal numbers side by side, as behind a ReLU."""
    maps = torch.randn(3, 5, height, width, generator=torch.Generator().manual_seed(0)).relu()
    return maps.to(dtype).to(memory_format=layout)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("height", "width"), [(8, 6), (9, 6), (8, 7), (2, 2), (13, 29)])
def test_halved_maps_are_those_of_torchs_pooling(
    height: int, width: int, layout: torch.memory_format, dtype: torch.dtype
) -> None:
    maps = _maps(height, width, layout, dtype)
    halved = halve(maps)
    assert torch.equal(halved, F.max_pool2d(maps, 2))
    assert halved.is_contiguous(memory_format=layout)


def test_what_is_no_number_stays_none() -> None:
    maps = _maps(4, 4, torch.contiguous_format, torch.float32)
    maps[0, 0, 1, 1] = torch.nan
    assert halve(maps).isnan().nonzero().tolist() == [[0, 0, 0, 0]]


def test_a_gradient_goes_where_torchs_goes() -> None:
    maps = _maps(8, 6, torch.contiguous_format, torch.float32).requires_grad_()
    (of_halved,) = torch.autograd.grad(halve(maps).square().sum(), maps)
    (of_torch,) = torch.autograd.grad(F.max_pool2d(maps, 2).square().sum(), maps)
    assert torch.equal(of_halved, of_torch)
