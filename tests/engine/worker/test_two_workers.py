"""Two workers of a SegDecNet trial end where one worker ends, and see different images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.engine.toy_study import ToyStudy
from tests.engine.worker.two_workers import POSITIVES, begin, fail_twice, train, wait_long
from tests.helpers.ranks import two_ranks


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five steps with one worker and with two."""
    folder = tmp_path_factory.mktemp("two")
    alone, both = folder / "1", folder / "2"
    alone.mkdir()
    both.mkdir()
    with two_ranks(train, both):
        train(0, 1, alone)
    return folder


def _rank(folder: Path, rank: int, world_size: int) -> Path:
    return folder / str(world_size) / f"rank{rank}of{world_size}"


def test_after_five_steps_the_weights_are_those_of_one_worker(trained: Path) -> None:
    alone = load_file(_rank(trained, 0, 1) / "model.safetensors")
    for rank in (0, 1):
        together = load_file(_rank(trained, rank, 2) / "model.safetensors")
        for name, weights in alone.items():
            np.testing.assert_allclose(together[name], weights, atol=1e-5, err_msg=name)


def test_one_worker_goes_on_from_the_checkpoint_of_two(tmp_path: Path) -> None:
    shrunk, alone = tmp_path / "shrunk", tmp_path / "alone"
    shrunk.mkdir()
    alone.mkdir()
    with two_ranks(begin, shrunk):
        pass
    train(0, 1, shrunk, epochs=2)
    train(0, 1, alone, epochs=2)
    log = max((shrunk / "trials" / ("0" * 16)).glob("*/log.txt"), key=lambda path: path.stat().st_mtime)
    assert "resumed after epoch 1" in log.read_text()
    ended, expected = (load_file(folder / "rank0of1" / "model.safetensors") for folder in (shrunk, alone))
    for name, weights in expected.items():
        np.testing.assert_allclose(ended[name], weights, atol=5e-5, err_msg=name)


def test_both_ranks_end_with_the_same_bits(trained: Path) -> None:
    files = [(_rank(trained, rank, 2) / "model.safetensors").read_bytes() for rank in (0, 1)]
    assert files[0] == files[1]


def test_a_weak_positive_met_a_normal_image_and_no_image_was_seen_twice(trained: Path) -> None:
    first, second = (
        json.loads((_rank(trained, rank, 2) / "parts.json").read_text())["parts"] for rank in (0, 1)
    )
    assert len(first) == len(second) == 5
    mixed = [(a < POSITIVES) != (b < POSITIVES) for (a,), (b,) in zip(first, second, strict=True)]
    assert any(mixed), "in no step one rank had a defective image and the other a normal one"
    seen = [i for part in (*first, *second) for i in part]
    assert sorted(seen) == list(range(2 * POSITIVES))


def test_logged_losses_are_those_of_all_workers(trained: Path) -> None:
    alone, together = (
        json.loads((_rank(trained, 0, world) / "parts.json").read_text())["history"] for world in (1, 2)
    )
    assert together[0]["loss"] == pytest.approx(alone[0]["loss"], rel=1e-4)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("hangs", "timed out twice: it gave no sign of life"),
        ("memory", "out of memory, MemoryError: 3 GiB were asked for"),
        ("gpu", "out of memory on the GPU; lower the batch or image size (OutOfMemoryError: 3 GiB more)"),
    ],
)
def test_a_training_of_two_workers_that_hangs_or_lacks_memory_is_tried_once_more_and_then_recorded(
    tmp_path: Path, cache_root: Path, fault: str, reason: str
) -> None:
    with two_ranks(fail_twice, tmp_path, str(cache_root), fault):
        pass
    (record,) = ToyStudy.make(tmp_path / "storage", cache_root, seeds=(0,)).records().values()
    assert (record.status, record.attempts) == ("failed", 2)
    assert record.reason == reason


def test_workers_wait_for_the_first_longer_than_they_waited_to_meet(tmp_path: Path) -> None:
    """It may evaluate for hours meanwhile."""
    with two_ranks(wait_long, tmp_path):
        pass
