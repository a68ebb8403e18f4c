"""Passes: the images that go through a network at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainables.nn.passes import images_per_pass, in_halves, in_passes


def looked_at(most: int) -> tuple[list[int], list[Tensor]]:
    """Sizes of the passes that were tried, and the answers, of a network that ``most`` images fit."""
    sizes: list[int] = []

    def look(part: Tensor) -> Tensor:
        sizes.append(len(part))
        if len(part) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return part

    return sizes, in_halves(look, torch.arange(10.0))


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


@pytest.mark.parametrize(("share", "images"), [(1.0, 128), (0.25, 32), (0.0001, 1)])
def test_passes_on_a_share_of_a_gpu_are_a_share_as_large(
    monkeypatch: pytest.MonkeyPatch, share: float, images: int
) -> None:
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _device: share)
    assert images_per_pass((256, 256), torch.device("cuda")) == images


def test_passes_on_a_cpu_ask_for_no_gpu() -> None:
    assert [len(part) for part in in_passes(torch.zeros(20, 1, 256, 256))] == [16, 4]
