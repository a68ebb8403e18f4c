"""Passes: the images that go through a network at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainables.nn.batches.passes import in_halves, in_passes


def looked_at(most: int) -> tuple[list[int], list[Tensor]]:
    """Sizes of the passes that were tried, and the answers, of a network that ``most`` images fit."""
    sizes: list[int] = []

    def forward(part: Tensor) -> Tensor:
        sizes.append(len(part))
        if len(part) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return part

    return sizes, in_halves(forward, torch.arange(10.0))


@pytest.mark.parametrize(
    ("most", "sizes"), [(10, [10]), (9, [10, 5, 5]), (3, [10, 5, 2, 3, 5, 2, 3]), (5, [10, 5, 5])]
)
def test_a_pass_that_memory_does_not_hold_is_halved_in_order(most: int, sizes: list[int]) -> None:
    tried, answers = looked_at(most)
    assert tried == sizes
    assert torch.cat(answers).tolist() == list(range(10))


def test_one_image_that_memory_does_not_hold_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        looked_at(0)


def test_passes_on_a_cpu_ask_for_no_gpu() -> None:
    assert [len(part) for part in in_passes(torch.zeros(20, 1, 256, 256))] == [16, 4]
