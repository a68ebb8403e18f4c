"""The memory of a GPU that a process may fill, where torch's own code asks its driver for it.

No GPU is needed: numbers stand for what lies below torch's functions, not for these.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from trainables.nn.batches.on_device import DeviceRows
from trainables.nn.batches.passes import images_per_pass
from trainables.runtime.device import prepare_gpu, usable_share

_TOTAL = 8000 * 2**20  # bytes of each GPU
_CURRENT = 2

every_name = pytest.mark.parametrize(("name", "index"), [("cuda", _CURRENT), ("cuda:0", 0), ("cuda:3", 3)])


@pytest.fixture
def fractions(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Fraction of each GPU's memory that this process may fill, as the driver would know it."""
    known = dict.fromkeys(range(4), 1.0)
    monkeypatch.setattr("torch.cuda.memory._lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: _CURRENT)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=_TOTAL))
    below: dict[str, object] = {
        "_cuda_setMemoryFraction": lambda fraction, index: known.update({index: fraction}),
        "_cuda_getMemoryFraction": known.__getitem__,
    }
    for function, stand_in in below.items():
        monkeypatch.setattr(torch._C, function, stand_in, raising=False)
    return known


@every_name
def test_a_process_is_given_its_share_of_the_gpu_it_trains_on(
    fractions: dict[int, float], monkeypatch: pytest.MonkeyPatch, name: str, index: int
) -> None:
    monkeypatch.setattr(
        "trainables.runtime.device.set_exact", lambda _device: None
    )  # it holds for the whole process
    prepare_gpu(torch.device(name), 0.5)
    assert fractions == dict.fromkeys(range(4), 1.0) | {index: 0.5 - 600 / 8000}
    assert usable_share(torch.device(name)) == fractions[index]


@every_name
@pytest.mark.parametrize(("share", "images"), [(1.0, 128), (0.25, 32), (0.0001, 1)])
def test_passes_on_a_share_of_a_gpu_are_a_share_as_large(
    fractions: dict[int, float], name: str, index: int, share: float, images: int
) -> None:
    fractions[index] = share
    assert images_per_pass((256, 256), torch.device(name)) == images


@every_name
def test_rows_larger_than_a_quarter_of_the_share_stay_with_the_host(
    fractions: dict[int, float], name: str, index: int
) -> None:
    row = np.zeros(1000, np.uint8)
    fractions[index] = 4 * 999 / _TOTAL
    assert not DeviceRows(lambda _: row, 1, torch.device(name)).resident


def test_a_cpu_is_not_shared() -> None:
    assert usable_share(torch.device("cpu")) == 1
