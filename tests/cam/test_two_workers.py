"""Two workers end where one does, also with an attachment that looks across the whole batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.cam.two_workers import train
from tests.helpers.ranks import two_ranks


@pytest.fixture(scope="module", params=["gn", "bn"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    alone, both = folder / "1", folder / "2"
    alone.mkdir()
    both.mkdir()
    with two_ranks(train, both, request.param):
        train(0, 1, alone, request.param)
    return folder


def result(trained: Path, world: int, rank: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    place = trained / str(world) / f"rank{rank}"
    return load_file(place / "weights.safetensors"), json.loads((place / "seen.json").read_text())


@pytest.mark.parametrize("rank", [0, 1])
def test_weights_and_losses_are_those_of_one_worker(trained: Path, rank: int) -> None:
    alone, seen = result(trained, 1, 0)
    together, also = result(trained, 2, rank)
    for name, weights in alone.items():
        torch.testing.assert_close(together[name], weights, atol=1e-4, rtol=1e-3, msg=name)
    for mine, theirs in zip(seen["history"], also["history"], strict=True):
        names = [name for name in mine if name != "seconds"]
        assert [theirs[name] for name in names] == pytest.approx([mine[name] for name in names], rel=1e-3)


def test_workers_divide_the_images_and_end_in_the_same_bits(trained: Path) -> None:
    (first, seen), (second, also) = (result(trained, 2, rank) for rank in (0, 1))
    assert seen["samples"] + also["samples"] == result(trained, 1, 0)[1]["samples"]
    assert seen["samples"] == also["samples"]
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())
