"""Training data on the device that trains: the same batches, wherever the rows lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.supervised.surfaces import SIZE, surfaces, tiny_config
from trainables.data.tensors import images_to_tensor
from trainables.nn.batches.on_device import DeviceRows, TrainingImages, numbers, sent


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """A device that keeps so many bytes."""
    monkeypatch.setattr("trainables.nn.batches.on_device._share_of", lambda _device: limit)


CPU, META = torch.device("cpu"), torch.device("meta")
IMAGES = surfaces(2, 3)
BYTES = 5 * SIZE[0] * SIZE[1]


@pytest.mark.parametrize("positions", [[0], [4, 1, 1], range(5)])
@pytest.mark.parametrize("limit", [0, BYTES - 1, BYTES])
@pytest.mark.usefixtures("limited")
def test_a_batch_is_that_of_the_host_wherever_images_lie(positions: Sequence[int]) -> None:
    images = TrainingImages(IMAGES, tiny_config().resolved("cpu"), CPU)
    expected = images_to_tensor([IMAGES[i].image for i in positions], CPU)
    assert torch.equal(images.batch(positions), expected)


@pytest.mark.parametrize(("limit", "resident"), [(BYTES - 1, False), (BYTES, True)])
@pytest.mark.parametrize("device", [CPU, META], ids=str)
@pytest.mark.usefixtures("limited")
def test_rows_lie_on_the_device_where_they_fit(device: torch.device, resident: bool) -> None:
    rows = DeviceRows(lambda i: IMAGES[i].image, 5, device)
    assert rows.resident == resident
    assert rows.batch([0, 1]).device == device


def test_a_cpu_keeps_no_copy() -> None:
    assert not DeviceRows(lambda i: IMAGES[i].image, 5, CPU).resident


@pytest.mark.parametrize("limit", [16])
@pytest.mark.usefixtures("limited")
def test_a_row_that_many_share_is_kept_once() -> None:
    empty, drawn = np.zeros(8, np.uint8), np.ones(8, np.uint8)
    rows = DeviceRows(lambda i: empty if i else drawn, 1000, CPU)
    assert rows.resident
    assert rows.batch([0, 999, 1])[:, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("limit", [0, 1000])
@pytest.mark.usefixtures("limited")
def test_parts_of_rows_are_cut_where_they_lie(limit: int) -> None:
    grid = np.arange(36, dtype=np.uint8).reshape(6, 6)
    rows = DeviceRows(lambda i: grid + np.uint8(i), 2, CPU)
    parts = [(slice(0, 2), slice(4, 6)), (slice(3, 5), slice(0, 2))]
    assert rows.resident == bool(limit)
    assert rows.batch([0, 1], parts).tolist() == [[[4, 5], [10, 11]], [[19, 20], [25, 26]]]


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
@pytest.mark.parametrize("limit", [0, 3 * BYTES])
@pytest.mark.usefixtures("limited")
def test_colour_images_have_the_memory_format_of_the_config(layout: str) -> None:
    colour = surfaces(1, 1)
    images = {name: np.repeat(colour.images[name], 3, axis=2) for name in colour.ids}
    config = tiny_config(channels=3, memory_format=layout).resolved("cpu")
    shown = TrainingImages(type(colour)(colour.ids, colour.labels, images), config, CPU)
    for batch in (shown.batch([0, 1]), shown.batch([])):
        assert batch.is_contiguous(memory_format=getattr(torch, f"{layout}_format", torch.channels_last))
    assert len(shown.batch([])) == 0


def test_numbers_and_labels_are_float32_on_the_device() -> None:
    assert numbers([1, 0.5], CPU).tolist() == [1, 0.5]
    labels = TrainingImages(IMAGES, tiny_config().resolved("cpu"), META).labels_of([0, 4])
    assert (labels.device, labels.dtype, len(labels)) == (META, torch.float32, 2)
    same = torch.ones(3)
    assert sent(same, CPU) is same
